"""The exit codes, everywhere the same."""

OK = 0
FAILED_GATE = 1
"""``ledger run --fail-on``: the run is recorded, and its gate did not pass."""
REFUTED = 2
"""The evidence or its validation failed, or the user's code crashed."""
INTERNAL = 3
"""Our error, or the machine refused: disk full, locked, read-only."""
UNTRUSTED = 4
"""A key is unknown, unreadable or not trusted."""
INCOMPLETE = 5
"""Nothing is refuted, but something is missing: a torn tail, an open run, an anchor."""
USAGE = 64
"""What was asked for cannot be done so."""
HUNG_UP = 129
INTERRUPTED = 130
BROKEN_PIPE = 141
TERMINATED = 143

MEANINGS = {
    OK: "done, or: it holds",
    FAILED_GATE: "the run is recorded, and --fail-on counts its gate decision as a failure",
    REFUTED: "the evidence or its validation failed, or the user's code crashed",
    INTERNAL: "an internal error, or the machine refused (disk full, locked, read-only)",
    UNTRUSTED: "a key is unknown, unreadable or not trusted",
    INCOMPLETE: "nothing is refuted, but a tail is torn, a run is open or an anchor is missing",
    USAGE: "usage: an option, a path or the input is not what the command takes",
    HUNG_UP: "the terminal is gone (SIGHUP)",
    INTERRUPTED: "interrupted (SIGINT)",
    BROKEN_PIPE: "whoever read the output stopped reading (SIGPIPE)",
    TERMINATED: "terminated (SIGTERM)",
}
