"""Run a command as a witnessed run: the second witness of ``run.opened`` and ``run.closed``.

A process that crashes cannot record its own death. The wrapper is another
process with another key, and it watches. Whatever the runner does, the run is
closed; only our own SIGKILL leaves it open, and then the ledger is INCOMPLETE.

Nothing is printed here besides the runner's own output; ``RunOutcome`` tells
what is worth telling.
"""

import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import BinaryIO, Literal

from ledger import Key, Ledger, LedgerError, MisuseError, StoreError
from producers.runs.abandoned import LOG_NAME, held
from producers.runs.child import Child, Ending, Handover, Interrupts, end_now, start, wait
from producers.runs.determinism import determinism, require_determinism
from producers.runs.environment import Provenance, capture
from producers.runs.files import claim_outdir
from producers.runs.follow import Follow, Follower
from producers.runs.guard import Guard
from producers.runs.output import Tee
from producers.runs.runners import Runner, arguments_for, runner_of
from producers.runs.witness import Finalize, Witness

Status = Literal["success", "user_code_failure", "wrapper_failure"]

STREAM_NAME = "governance_log.jsonl"
_EXIT = {"success": 0, "user_code_failure": 2, "wrapper_failure": 3}
_SIGNAL_BASE = 128
_NO_ENDING = Ending(exit_code=None, signal=None)  # there was no runner, or we lost it
_LONGEST_REASON = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What to run, and where its capsule is.

    With kind ``gpt`` or ``hf``, *argv* are the options of our runner (or of the one
    that the environment puts in its place); with any other kind it is the command
    itself. *grace* is how many seconds a runner that is told to end may take.
    *blocked* says why the runner cannot be started: the run is then recorded
    without it. *stdout* and *stderr* are descriptors.
    """

    kind: str
    argv: tuple[str, ...]
    outdir: Path
    run_id: str | None = None
    force: bool = False
    grace: float = 10.0
    gate_preset: str | None = None
    strict_determinism: bool = False
    stop_on_fail: bool = False
    blocked: str | None = None
    cwd: Path | None = None
    env: Mapping[str, str] | None = None
    stdout: int = 1
    stderr: int = 2

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment that the runner's is made of."""
        return environ if self.env is None else self.env

    @property
    def runner(self) -> Runner:
        """The words that begin the command line."""
        return runner_of(self.kind, self.environment, python=sys.executable)

    @property
    def command(self) -> tuple[str, ...]:
        """The command line that is started."""
        runner = self.runner
        arguments = arguments_for(
            runner, self.argv, preset=self.gate_preset, stop_on_fail=self.stop_on_fail
        )
        return (*runner.words, *arguments)

    def check(self) -> None:
        """Refuse what cannot be run as it is asked for, before anything is written.

        Raises:
            MisuseError: There is no command, or the environment does not do for a strict run.
        """
        if not self.command:
            raise MisuseError("there is no command to run")
        if self.strict_determinism:
            require_determinism(self.environment, own_threads=self.runner.own)


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


@dataclass(frozen=True, slots=True)
class _End:
    """How the runner ended, what that means, and why, if it did not end by itself."""

    status: Status
    ending: Ending
    wall_s: float
    reason: str | None


def new_run_id() -> str:
    """Return a new run id: 32 hex digits that sort by time, as a UUIDv7 does."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def run(
    spec: RunSpec,
    book: Ledger,
    *,
    finalize: Finalize | None = None,
    begin: Finalize | None = None,
    follow: Follow | None = None,
) -> RunOutcome:
    """Run *spec* to its end, and return how it ended.

    *book* must be open with an owner's key: the runner's key is authorised with
    it. *begin* makes the files that a run has from its start, *follow* the lines
    of the governance log while it goes on, *finalize* the projected files from the
    closed ledger. SIGINT, SIGTERM and SIGHUP go to the runner meanwhile, and the
    capsule is finished all the same.

    Raises:
        MisuseError: The directory is in use by another run, there is no command, or
            a strict run's environment is not set up for one.
        KeyRefusedError: The ledger's key may not do what a wrapper does.
        StoreError: The disk refused; a runner that was started has been killed.
    """
    interrupts = Interrupts()
    with interrupts.caught():
        attempt = _Attempt(spec, book, interrupts)
        witness = Witness(book, attempt.run_id, attempt.outdir)
        log = _claim_log(attempt.outdir)
        follower = Follower(
            book.path,
            book.size,
            subject=f"run/{attempt.run_id}",
            target=attempt.outdir / STREAM_NAME,
            follow=follow,
        )
        with held(log):
            key = _open(witness, attempt, log)
            with follower:
                end = _see_to_its_end(
                    witness, attempt, log, key=key, begin=begin, follower=follower
                )
            made = witness.finish(_checked(finalize, follower, attempt.notes))
    return _outcome(attempt, end, interrupts.first, made=made)


class _Attempt:
    """One run, from its circumstances to the runner's end."""

    def __init__(self, spec: RunSpec, book: Ledger, interrupts: Interrupts) -> None:
        spec.check()
        runner, command = spec.runner, spec.command
        own = runner.own
        self.spec = spec
        self.notes: list[str] = []
        self.run_id = spec.run_id or new_run_id()
        self._book = book
        self._interrupts = interrupts
        self._command = command
        self._own = own
        self._cwd = spec.cwd or Path.cwd()
        self.outdir = claim_outdir(spec.outdir, force=spec.force)
        self.provenance: Provenance = capture(
            command,
            env=spec.environment,
            cwd=self._cwd,
            runner_words=len(runner.words),
            determinism=determinism(
                spec.environment, strict=spec.strict_determinism, own_threads=own
            ),
        )

    def carry_out(self, key: Key, log: BinaryIO, follower: Follower) -> _End:
        """Start the runner, see it through, and return how it ended."""
        self._describe()
        if self.spec.blocked is not None:
            return self._not_started(self.spec.blocked, log)
        begun = time.monotonic()
        with Guard(self.spec.grace) as guard:
            try:
                child = start(
                    self._command, self._handover(key), env=self.spec.environment, cwd=self._cwd
                )
            except (OSError, ValueError) as error:
                shown = self.provenance.shown(repr(self._command[0]))
                return self._not_started(f"{shown}: {_why(error)}", log)
            guard.watch(child.process.pid)
            ending = self._see_through(child, log, follower)
        wall_s = round(time.monotonic() - begun, 3)
        if guard.problem is not None:
            self.notes.append(guard.problem)
        status: Status = "success" if ending.exit_code == 0 else "user_code_failure"
        return _End(status, ending, wall_s, self._reason(follower))

    def _handover(self, key: Key) -> Handover:
        told = {}
        if self.spec.gate_preset is not None:
            told["LEDGER_GATE_PRESET"] = self.spec.gate_preset
        if self.spec.strict_determinism:
            told["LEDGER_STRICT_DETERMINISM"] = "1"
        return Handover(
            key.seed,
            ledger=self._book.path.absolute(),
            run_id=self.run_id,
            outdir=self.outdir,
            told=told,
        )

    def _see_through(self, child: Child, log: BinaryIO, follower: Follower) -> Ending:
        routes = {child.stdout: self.spec.stdout, child.stderr: self.spec.stderr}
        with Tee(routes, log, self.provenance.secrets) as tee:
            try:
                ending = wait(
                    child,
                    self._interrupts,
                    grace=self.spec.grace,
                    must_stop=self._must_stop(follower),
                )
            finally:
                end_now(child)
        if tee.problem is not None:
            self.notes.append(tee.problem)
        return ending

    def _must_stop(self, follower: Follower) -> Callable[[], bool]:
        # Our own runners were told, and stop by themselves, at the check that failed.
        if self.spec.stop_on_fail and not self._own:
            return follower.has_failed
        return lambda: False

    def _reason(self, follower: Follower) -> str | None:
        if self._interrupts.first is not None:
            return f"{signal.Signals(self._interrupts.first).name} to the wrapper"
        if self._must_stop(follower)():
            return f"gate fail at iteration {follower.failed_at}"
        return None

    def _not_started(self, why: str, log: BinaryIO) -> _End:
        """Say why there is no runner: it is the user's to mend, so it is no failure of ours."""
        said = self.provenance.shown(f"not started: {why}")[:_LONGEST_REASON]
        self.notes.append(said)
        with suppress(OSError):
            log.write(f"{said}\n".encode())
        return _End("user_code_failure", _NO_ENDING, 0.0, said)

    def _describe(self) -> None:
        try:
            self.provenance.write(self.outdir)
        except StoreError as error:  # a recommended file: "best-effort; must not block runs"
            self.notes.append(str(error))


def _outcome(
    attempt: _Attempt, end: _End, first: int | None, *, made: tuple[tuple[str, ...], ...]
) -> RunOutcome:
    """Return what is worth telling; *first* is the signal that asked us to stop."""
    artifacts, left_out = made
    return RunOutcome(
        run_id=attempt.run_id,
        outdir=attempt.outdir,
        status=end.status,
        exit_code=end.ending.exit_code,
        signal=end.ending.signal,
        wall_s=end.wall_s,
        wrapper_exit=_EXIT[end.status] if first is None else _SIGNAL_BASE + first,
        artifacts=artifacts,
        notes=(*attempt.notes, *left_out),
    )


def _open(witness: Witness, attempt: _Attempt, log: BinaryIO) -> Key:
    try:
        spec = attempt.spec
        return witness.open(spec.kind, attempt.provenance, gate_preset=spec.gate_preset)
    except BaseException:
        log.close()
        (attempt.outdir / LOG_NAME).unlink()  # nothing was begun: leave no claim behind
        raise


def _see_to_its_end(
    witness: Witness,
    attempt: _Attempt,
    log: BinaryIO,
    *,
    key: Key,
    begin: Finalize | None,
    follower: Follower,
) -> _End:
    """Carry the run out, and record its end, whatever happens."""
    try:
        try:
            witness.begin(begin)
        except StoreError as error:  # files that were only a precaution
            attempt.notes.append(str(error))
        end = attempt.carry_out(key, log, follower)
    except BaseException as error:
        with suppress(LedgerError):  # the first fault is the one to tell of
            witness.revoke(key)
            reason = f"the wrapper failed: {type(error).__name__}"
            witness.close("wrapper_failure", _NO_ENDING, wall_s=0.0, reason=reason)
        raise
    finally:
        log.close()
    witness.revoke(key)
    witness.close(end.status, end.ending, wall_s=end.wall_s, reason=end.reason)
    return end


def _checked(finalize: Finalize | None, follower: Follower, notes: list[str]) -> Finalize | None:
    """Return *finalize*, which then also compares what was streamed with what is to be."""
    if finalize is None:
        return None
    make = finalize

    def checked(book: Ledger, outdir: Path) -> Mapping[str, bytes]:
        files = make(book, outdir)
        problem = follower.problem
        if not follower.agrees_with(files.get(STREAM_NAME, b"")):
            problem = f"{STREAM_NAME}: what was streamed was not what the ledger gives"
        if problem is not None and problem not in notes:
            notes.append(problem)
        return files

    return checked


def _claim_log(outdir: Path) -> BinaryIO:
    # The first file of a run, created only if it is not there: of two wrappers that
    # want the same directory, one loses here, before it has written anything.
    try:
        return (outdir / LOG_NAME).open("xb", buffering=0)
    except FileExistsError as error:
        raise MisuseError(f"{outdir} is in use by another run: {LOG_NAME} is there") from error
    except OSError as error:
        raise StoreError(f"{outdir / LOG_NAME}: {error.strerror}") from error


def _why(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
