"""What went wrong, for people and for programs: what, where, what it means, what to do.

The one place that knows which error has which exit code.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import click

from cli import exits
from cli.output import print_json, say, schema
from cli.render import escape
from ledger.ed25519 import WeakKeyError
from ledger.errors import (
    BrokenLinkError,
    ConflictError,
    KeyFileError,
    KeyRefusedError,
    LedgerError,
    LockedError,
    MalformedError,
    MisuseError,
    OversizeError,
    StoreError,
)
from ledger.note import UntrustedNoteError

ISSUES = "the project's issue tracker"
_UNCHANGED = "nothing was written"
_LONGEST = 2000  # an error fits one screen, whatever an attacker put into it


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is shown; empty parts are left out."""

    kind: str
    exit_code: int
    what: str
    where: str = ""
    meaning: str = ""
    help: str = ""

    def to_text(self) -> str:
        """Return the lines for stderr."""
        lines = [f"error: {escape(self.what)}"]
        parts = {"where": self.where, "meaning": self.meaning, "help": self.help}
        lines += [f"  {name}: {escape(text)}" for name, text in parts.items() if text]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        error = {"kind": self.kind, "what": self.what, "where": self.where or None}
        error |= {"meaning": self.meaning or None, "help": self.help or None}
        return {"schema": schema("error"), "exit_code": self.exit_code, "error": error}


class ProblemError(Exception):
    """A problem on its way out of a command."""

    def __init__(self, problem: Problem) -> None:
        """Carry *problem*."""
        super().__init__(problem.what)
        self.problem = problem


Row = tuple[type[Exception], str, int, str, str]
_TABLE: tuple[Row, ...] = (
    (ConflictError, "conflict", exits.USAGE,
     f"someone else was first, or the id stands for something else; {_UNCHANGED}",
     "read what is there (ledger log PATH -n 1), then decide again"),
    (OversizeError, "oversize", exits.USAGE,
     f"an entry has at most 65 535 bytes; {_UNCHANGED}",
     "store it beside the ledger and record its digest: ledger append PATH --blob FILE"),
    (MisuseError, "usage", exits.USAGE, "", ""),
    (WeakKeyError, "key", exits.UNTRUSTED,
     f"under such a key anyone could sign, or readers would disagree; {_UNCHANGED}",
     "make a sound one: ledger key new FILE"),
    (KeyFileError, "key", exits.UNTRUSTED,
     f"without a key nothing can be signed; {_UNCHANGED}",
     "name a key with --key FILE or $LEDGER_KEY, or make one: ledger key new FILE"),
    (KeyRefusedError, "refused", exits.UNTRUSTED,
     f"the ledger's own rules say who may write what; {_UNCHANGED}",
     "see who may: ledger key list PATH; an owner can let a key in: ledger key authorize"),
    (UntrustedNoteError, "untrusted", exits.UNTRUSTED,
     "none of the keys that you trust signed it", "check which key it should be"),
    (BrokenLinkError, "broken", exits.REFUTED,
     f"the ledger does not hold together, and must not be signed over; {_UNCHANGED}",
     "find out what happened: ledger verify PATH"),
    (MalformedError, "malformed", exits.REFUTED,
     f"this is not a ledger of format version 1, or it is damaged; {_UNCHANGED}",
     "find out what happened: ledger verify PATH"),
    (LockedError, "locked", exits.INTERNAL,
     f"writers take turns, and the other did not let go in time; {_UNCHANGED}",
     "try again, or wait longer with --timeout SECONDS"),
    (StoreError, "store", exits.INTERNAL,
     "the machine refused; what was acknowledged before is safe",
     "make room or get access, then repeat the command"),
    (LedgerError, "ledger", exits.INTERNAL, "", ""),
    (PermissionError, "store", exits.INTERNAL, "the machine refused", "get access, then repeat"),
    (OSError, "store", exits.INTERNAL, "the machine refused", ""),
)  # fmt: skip


def describe(error: Exception) -> Problem:
    """Return what is to be said of an error."""
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, click.Abort):
        return Problem("interrupted", exits.INTERRUPTED, "interrupted")
    if isinstance(error, click.ClickException):
        return _of_click(error)
    for kind, name, code, meaning, advice in _TABLE:
        if isinstance(error, kind):
            return Problem(name, code, _first(str(error)), meaning=meaning, help=advice)
    name = type(error).__name__
    return Problem(
        "internal",
        exits.INTERNAL,
        _first(f"internal error: {name}: {error}"),
        meaning="this is our fault; what was acknowledged before is safe",
        help=f"report it with the command that you ran, at {ISSUES};"
        " LEDGER_TRACEBACK=1 shows the traceback",
    )


def located(error: Exception, params: Mapping[str, Any]) -> ProblemError:
    """Return *error* with the path that the command was given as its place."""
    problem = describe(error)
    path = params.get("path") or params.get("source")
    if path is not None and not problem.where and str(path) not in problem.what:
        problem = replace(problem, where=str(path))
    return ProblemError(problem)


def report(error: Exception, *, as_json: bool) -> int:
    """Show an error, and return its exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and error.ctx and not as_json:
        say(error.ctx.get_help())
        return exits.USAGE
    problem = describe(error)
    if problem.kind == "internal" and _wants_traceback():
        sys.excepthook(type(error), error, error.__traceback__)
    if as_json:
        print_json(problem.to_json())
    else:
        say(problem.to_text())
    return problem.exit_code


def _of_click(error: click.ClickException) -> Problem:
    """Say what is wrong with the command line; click's own code of 2 would read as tampered."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return Problem("usage", exits.USAGE, "no command was given", help="ledger --help")
    context = error.ctx if isinstance(error, click.UsageError) else None
    usage = context.command.collect_usage_pieces(context) if context else []
    where = f"{context.command_path} {' '.join(usage)}" if context else ""
    advice = f"{context.command_path} --help" if context else ""
    return Problem("usage", exits.USAGE, error.format_message(), where=where, help=advice)


def _wants_traceback() -> bool:
    import os

    return bool(os.environ.get("LEDGER_TRACEBACK"))


def _first(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
