"""The runner as a process: start it apart, hand it its key, forward signals, reap it.

The runner leads a session and a process group of its own, so that a signal
reaches everything it started, and a terminal's Ctrl-C reaches it once, through
us. Its key comes through an inherited pipe: 32 bytes that are never on disk, in
an argument or in the environment.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Handover:
    """What a runner needs to write into the ledger; it is told nothing else of ours.

    *told* are further variables for it, by name.
    """

    seed: bytes
    ledger: Path
    run_id: str
    outdir: Path
    told: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Show no field: one of them is a private key."""
        return f"Handover(run_id={self.run_id!r})"

    def environment(self, inherited: Mapping[str, str], *, key_fd: int) -> dict[str, str]:
        """Return the runner's environment: ours, with none of our ``LEDGER_*`` but these."""
        kept = {k: v for k, v in inherited.items() if not k.startswith("LEDGER_")}
        return kept | {
            "LEDGER_KEY_FD": str(key_fd),
            "LEDGER_PATH": str(self.ledger),
            "LEDGER_RUN_ID": self.run_id,
            "LEDGER_OUTDIR": str(self.outdir),
            **self.told,
        }


@dataclass(frozen=True, slots=True)
class Ending:
    """How the runner ended: with an exit code, or by a signal."""

    exit_code: int | None
    signal: str | None


class Interrupts:
    """The signals that asked us to stop, in order."""

    def __init__(self) -> None:
        """Begin with none."""
        self.received: list[int] = []

    @property
    def first(self) -> int | None:
        """The first one, which decides our exit code."""
        return self.received[0] if self.received else None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Collect SIGINT, SIGTERM and SIGHUP instead of dying of them.

        Python lets only the main thread do that; elsewhere this does nothing. A
        signal that we were told to ignore (``nohup``) stays ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.getsignal(s) for s in (*FORWARDED, signal.SIGCHLD)}
        for number in FORWARDED:
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, self._note)
        # Inherited as ignored, SIGCHLD makes the system forget how children ended, and
        # subprocess then says 0: a crash would go on record as a success.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            yield
        finally:
            for known, handler in before.items():
                signal.signal(known, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.received.append(number)


@dataclass(frozen=True, slots=True)
class Child:
    """A started runner, and the read ends of its output."""

    process: subprocess.Popen[bytes]
    stdout: int
    stderr: int


def start(argv: Sequence[str], handover: Handover, *, env: Mapping[str, str], cwd: Path) -> Child:
    """Start the runner in its own session.

    Raises:
        OSError: It cannot be executed.
        ValueError: An argument or a variable holds a NUL.
    """
    reader, writer = os.pipe()
    outputs = (os.pipe(), os.pipe())
    try:
        os.write(writer, handover.seed)  # 32 bytes: a pipe takes them without a reader
        process = subprocess.Popen(
            list(argv),
            stdin=None,
            stdout=outputs[0][1],
            stderr=outputs[1][1],
            env=handover.environment(env, key_fd=reader),
            cwd=cwd,
            pass_fds=(reader,),
            start_new_session=True,
        )
    except BaseException:
        for read_end, _ in outputs:
            os.close(read_end)
        raise
    finally:
        for descriptor in (reader, writer, outputs[0][1], outputs[1][1]):
            os.close(descriptor)
    return Child(process, outputs[0][0], outputs[1][0])


def wait(
    child: Child,
    interrupts: Interrupts,
    *,
    grace: float,
    must_stop: Callable[[], bool] = lambda: False,
) -> Ending:
    """Wait for the runner's end, passing on the signals that we get.

    After one of them the runner has *grace* seconds to end by itself; then it
    gets SIGTERM, and after as long again SIGKILL. Each further signal that we
    get takes the next of these steps at once. When *must_stop* becomes true, that
    counts as a SIGTERM that we got.
    """
    process = child.process
    ladder = _ladder(interrupts)
    step_due = float("inf")
    handled = asked = 0
    while process.poll() is None:
        asked = len(interrupts.received) + must_stop()
        if asked > handled or time.monotonic() >= step_due:
            handled = min(handled + 1, asked)
            number = ladder()
            _signal_group(process.pid, number)
            step_due = float("inf") if number == signal.SIGKILL else time.monotonic() + grace
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_S)
    if asked or interrupts.received:
        # Whoever asked the run to stop meant all of it: what is left in the group must not
        # train on. The group's number cannot be taken by others while anyone is left in it.
        _signal_group(process.pid, signal.SIGKILL)
    return _ending(process.returncode)


def end_now(child: Child) -> None:
    """Kill the runner and its group: we cannot watch over it any longer."""
    if child.process.poll() is None:
        _signal_group(child.process.pid, signal.SIGKILL)
        child.process.wait()


def _ladder(interrupts: Interrupts) -> Callable[[], int]:
    climbed: list[int] = []

    def next_step() -> int:
        if not climbed:
            step = interrupts.received[0] if interrupts.received else int(signal.SIGTERM)
        elif signal.SIGTERM not in climbed:
            step = int(signal.SIGTERM)
        else:
            step = int(signal.SIGKILL)
        climbed.append(step)
        return step

    return next_step


def _signal_group(group: int, number: int) -> None:
    # A member that changed its user cannot be signalled; the others were.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _ending(returncode: int) -> Ending:
    if returncode >= 0:
        return Ending(returncode, None)
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"SIG{-returncode}"  # a real-time signal
    return Ending(None, name)
