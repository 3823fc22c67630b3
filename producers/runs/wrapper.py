"""Run a command as a witnessed run: the second witness of ``run.opened`` and ``run.closed``.

A process that crashes cannot record its own death. The wrapper is another
process with another key, and it watches. Whatever the runner does, the run is
closed; only our own SIGKILL leaves it open, and then the ledger is INCOMPLETE.

Nothing is printed here besides the runner's own output; ``RunOutcome`` tells
what is worth telling.
"""

import secrets
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from json import dumps
from os import environ
from pathlib import Path
from typing import BinaryIO, Literal

from ledger import Key, Ledger, LedgerError, MisuseError, StoreError
from producers.runs.child import Child, Ending, Handover, Interrupts, end_now, start, wait
from producers.runs.environment import Provenance, capture, environment_text
from producers.runs.files import claim_outdir, write_atomically
from producers.runs.output import Tee
from producers.runs.redact import mask_all
from producers.runs.witness import Finalize, Witness

Status = Literal["success", "user_code_failure", "wrapper_failure"]

LOG_NAME = "runner_output.log"
CONFIG_NAME = "run_config_resolved.json"
ENVIRONMENT_NAME = "environment.txt"
_EXIT = {"success": 0, "user_code_failure": 2, "wrapper_failure": 3}
_SIGNAL_BASE = 128
_NO_ENDING = Ending(exit_code=None, signal=None)  # there was no runner, or we lost it
_GPT = "producers.gates.gpt"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What to run, and where its capsule is.

    With kind ``gpt``, *argv* are the options of our GPT runner; with any other
    kind it is the command itself. *grace* is how many seconds an interrupted
    runner may take to end by itself. *stdout* and *stderr* are descriptors.
    """

    kind: str
    argv: tuple[str, ...]
    outdir: Path
    run_id: str | None = None
    force: bool = False
    grace: float = 10.0
    cwd: Path | None = None
    env: Mapping[str, str] | None = None
    stdout: int = 1
    stderr: int = 2

    @property
    def command(self) -> tuple[str, ...]:
        """The command line that is started."""
        if self.kind == "gpt":
            return (sys.executable, "-m", _GPT, *self.argv)
        return self.argv


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended, as it was recorded, and the exit code that the wrapper owes.

    ``wrapper_exit`` is 0 for success, 2 when the runner failed, 3 when the
    wrapper did, and 128 + n when signal n asked us to stop.
    """

    run_id: str
    outdir: Path
    status: Status
    exit_code: int | None
    signal: str | None
    wall_s: float
    wrapper_exit: int
    artifacts: tuple[str, ...]
    notes: tuple[str, ...]


def new_run_id() -> str:
    """Return a new run id: 32 hex digits that sort by time, as a UUIDv7 does."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def run(spec: RunSpec, book: Ledger, *, finalize: Finalize | None = None) -> RunOutcome:
    """Run *spec* to its end, and return how it ended.

    *book* must be open with an owner's key: the runner's key is authorised with
    it. *finalize* makes the projected files from the closed ledger. SIGINT,
    SIGTERM and SIGHUP go to the runner meanwhile, and the capsule is finished
    all the same.

    Raises:
        MisuseError: The directory is in use by another run, or there is no command.
        KeyRefusedError: The ledger's key may not do what a wrapper does.
        StoreError: The disk refused; a runner that was started has been killed.
    """
    interrupts = Interrupts()
    with interrupts.caught():
        attempt = _Attempt(spec, book, interrupts)
        witness = Witness(book, attempt.run_id, attempt.outdir)
        log = _claim_log(attempt.outdir)
        key = _open(witness, attempt, log)
        ending, wall_s = _carry_out(witness, attempt, log, key=key)
        status = _status(ending)
        witness.close(status, ending, wall_s=wall_s)
        artifacts, left_out = witness.finish(finalize)
    first = interrupts.first
    return RunOutcome(
        run_id=attempt.run_id,
        outdir=attempt.outdir,
        status=status,
        exit_code=ending.exit_code,
        signal=ending.signal,
        wall_s=wall_s,
        wrapper_exit=_EXIT[status] if first is None else _SIGNAL_BASE + first,
        artifacts=artifacts,
        notes=(*attempt.notes, *left_out),
    )


class _Attempt:
    """One run, from its circumstances to the runner's end."""

    def __init__(self, spec: RunSpec, book: Ledger, interrupts: Interrupts) -> None:
        if not spec.command:
            raise MisuseError("there is no command to run")
        self._spec = spec
        self._book = book
        self._interrupts = interrupts
        self._env = environ if spec.env is None else spec.env
        self._cwd = spec.cwd or Path.cwd()
        self.kind = spec.kind
        self.notes: list[str] = []
        self.run_id = spec.run_id or new_run_id()
        self.outdir = claim_outdir(spec.outdir, force=spec.force)
        self.provenance: Provenance = capture(spec.command, env=self._env, cwd=self._cwd)

    def carry_out(self, key: Key, log: BinaryIO) -> tuple[Ending, float]:
        """Start the runner, see it through, and return its end and how long it took."""
        self._describe()
        handover = Handover(
            key.seed, ledger=self._book.path.absolute(), run_id=self.run_id, outdir=self.outdir
        )
        begun = time.monotonic()
        try:
            child = start(self._spec.command, handover, env=self._env, cwd=self._cwd)
        except (OSError, ValueError) as error:
            self.notes.append(f"{self._shown_command()} could not be started: {_why(error)}")
            return _NO_ENDING, 0.0
        ending = self._see_through(child, log)
        return ending, round(time.monotonic() - begun, 3)

    def _see_through(self, child: Child, log: BinaryIO) -> Ending:
        routes = {child.stdout: self._spec.stdout, child.stderr: self._spec.stderr}
        with Tee(routes, log, self.provenance.secrets) as tee:
            try:
                ending = wait(child, self._interrupts, grace=self._spec.grace)
            finally:
                end_now(child)
        if tee.problem is not None:
            self.notes.append(tee.problem)
        return ending

    def _describe(self) -> None:
        config = self.provenance.resolved_config(
            kind=self._spec.kind,
            run_id=self.run_id,
            outdir=self.outdir,
            ts_utc=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        )
        text = dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        try:
            write_atomically(self.outdir / ENVIRONMENT_NAME, environment_text().encode())
            write_atomically(self.outdir / CONFIG_NAME, text.encode() + b"\n")
        except StoreError as error:  # recommended files: "best-effort; must not block runs"
            self.notes.append(str(error))

    def _shown_command(self) -> str:
        return mask_all([repr(self.provenance.argv[0])], self.provenance.secrets)[0]


def _open(witness: Witness, attempt: _Attempt, log: BinaryIO) -> Key:
    try:
        return witness.open(attempt.kind, attempt.provenance)
    except BaseException:
        log.close()
        (attempt.outdir / LOG_NAME).unlink()  # nothing was begun: leave no claim behind
        raise


def _carry_out(
    witness: Witness, attempt: _Attempt, log: BinaryIO, *, key: Key
) -> tuple[Ending, float]:
    try:
        ending, wall_s = attempt.carry_out(key, log)
    except BaseException:
        with suppress(LedgerError):  # the first fault is the one to tell of
            witness.revoke(key)
            witness.close("wrapper_failure", _NO_ENDING, wall_s=0.0)
        raise
    finally:
        log.close()
    witness.revoke(key)
    return ending, wall_s


def _claim_log(outdir: Path) -> BinaryIO:
    # The first file of a run, created only if it is not there: of two wrappers that
    # want the same directory, one loses here, before it has written anything.
    try:
        return (outdir / LOG_NAME).open("xb", buffering=0)
    except FileExistsError as error:
        raise MisuseError(f"{outdir} is in use by another run: {LOG_NAME} is there") from error
    except OSError as error:
        raise StoreError(f"{outdir / LOG_NAME}: {error.strerror}") from error


def _status(ending: Ending) -> Status:
    if ending.exit_code is None and ending.signal is None:
        return "wrapper_failure"
    return "success" if ending.exit_code == 0 else "user_code_failure"


def _why(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
