"""A run that a program records by itself, without a wrapper around its process.

Under ``ledger run`` there are two witnesses: the program tells its story, and
another process how it ended. A notebook, or a loop that cannot be started by
somebody else, has one: itself. ``open_run`` serves both. Started by the wrapper,
it attaches to the run that the wrapper opened; otherwise it makes or opens a
ledger, opens the run with ``witness`` ``in_process`` on record, lets a key of its
own in for the observations, and closes the run at the end. What such a run cannot
do is say how it died: killed, it stays open, and ``ledger verify`` says INCOMPLETE.

    with record_run("runs/a", max_iters=1000, seed=0) as run:
        for i in range(1000):
            loss = step(i)
            if run.wants(i):
                run.observe(i, {"loss": loss})
            check = run.check(i + 1)
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from ledger import Event, Key, KeyRefusedError, Ledger, LedgerError, MisuseError, StoreError
from ledger.paths import NAMES
from producers.gates import presets
from producers.gates.controls import Value
from producers.gates.gate import AnyPlan
from producers.gates.recording import GatedRun
from producers.runs.child import Ending
from producers.runs.determinism import determinism
from producers.runs.environment import Provenance, capture
from producers.runs.files import claim_outdir
from producers.runs.session import Session, attach, is_witnessed
from producers.runs.witness import Finalize, Witness
from producers.runs.wrapper import new_run_id

_ASKED = "LEDGER_GATE_PRESET"  # the wrapper sets it if it was given a preset
_FAILED = 1  # the exit code of a Python program that an exception ended


class RecordedRun(GatedRun):
    """A gated run that knows where it is recorded."""

    def __init__(self, session: Session, plan: AnyPlan) -> None:
        """Record nothing yet."""
        super().__init__(session, plan)
        self.session = session

    @property
    def ledger_id(self) -> str:
        """The id of the ledger: note it elsewhere, and nobody can exchange the ledger."""
        return self.session.book.id

    @property
    def outdir(self) -> Path:
        """The run directory."""
        return self.session.outdir


class OpenRun(Protocol):
    """A run that has been opened, by a wrapper or by ourselves."""

    @property
    def session(self) -> Session:
        """What the run's story is told with."""

    def close(self, error: BaseException | None = None) -> None:
        """Make everything durable, and say how it ended; *error* is what ended it too early."""


def open_run(
    outdir: Path | str | None,
    *,
    kind: str,
    key: Key | None = None,
    ledger: Path | str | None = None,
    finalize: Finalize | None = None,
) -> OpenRun:
    """Attach to the run that a wrapper opened for this process, or open one in *outdir*.

    Without a wrapper, *key* owns a ledger that is made; without *key*, one is made
    that is forgotten at the end, so that nobody can add to the ledger later.
    *ledger* is another place for the ledger, such as that of the run whose weights
    this one goes on from. *finalize* makes projected files (``ledger project
    capsule`` makes them later). With a wrapper, all of these are the wrapper's.

    Raises:
        MisuseError: There is no *outdir*, it holds another run, or its ledger belongs
            to somebody else.
        LedgerError: The start cannot be recorded.
    """
    if is_witnessed():
        return _Attached(attach())
    if outdir is None:
        raise MisuseError(
            "where should the run be recorded? give an outdir, or start this program with:"
            " ledger run KIND --outdir DIR -- COMMAND"
        )
    return _Own(claim_outdir(Path(outdir)), kind, key=key, ledger=ledger, finalize=finalize)


@contextmanager
def record_run(  # noqa: PLR0913 - what a user may say of a run, each by its name
    outdir: Path | str | None = None,
    *,
    max_iters: int,
    preset: str | AnyPlan | None = None,
    seed: int = 0,
    data: Path | bytes | Mapping[str, Any] | None = None,
    model: Mapping[str, int | float | str | bool] | None = None,
    kind: str = "python",
    key: Key | None = None,
    ledger: Path | str | None = None,
    finalize: Finalize | None = None,
    **overrides: Value,
) -> Iterator[RecordedRun]:
    """Record what happens in the block as one run under the gate, see ``open_run``.

    *preset* names a gate, or is a plan of your own; it is the wrapper's or ``tuned_v0``
    by default. *data* is a file, the bytes, or a mapping of ``name``, ``sha256``, ``bytes``.
    *overrides* are controls that depart from the preset (``window=50``).
    A block that raises is recorded as failed, and its exception goes on. Without a
    ``finish``, the run ends after the last iteration that was checked or observed.

    Raises:
        MisuseError: The preset or a control is unknown, or the run cannot be opened.
        LedgerError: Something could not be recorded.
    """
    plan = plan_of(preset, overrides)
    source = data_source(data)
    planned = planned_data(plan, max_iters=max_iters, seed=seed, data=source, model=model)
    held = open_run(outdir, kind=kind, key=key, ledger=ledger, finalize=finalize)
    try:
        run = RecordedRun(held.session, plan)
        run.planned(planned)
        yield run
        if not run.finished:
            run.finish(run.done, run.loss)
    except BaseException as error:
        close_after(held, error)
        raise
    held.close()


def close_after(held: OpenRun, error: BaseException) -> None:
    """Close a run that *error* ended; what goes wrong in that is noted on *error*."""
    try:
        held.close(error)
    except LedgerError as problem:
        error.add_note(f"the end of the run could not be recorded either: {problem}")


def plan_of(preset: str | AnyPlan | None, overrides: Mapping[str, Value]) -> AnyPlan:
    """Return the plan of a preset with single controls set otherwise, or a plan as it is.

    Raises:
        MisuseError: There is no such preset or control, a plan was to be overridden, or
            the wrapper was asked for another preset.
    """
    asked = os.environ.get(_ASKED) if is_witnessed() else None
    if preset is None or isinstance(preset, str):
        plan = presets.preset(preset or asked or presets.CANONICAL, overrides)
    elif overrides:
        raise MisuseError(f"{', '.join(overrides)}: a plan of your own is changed where it is made")
    else:
        plan = preset
    if asked not in {None, plan.preset}:
        raise MisuseError(f"ledger run was asked for gate preset {asked}, not {plan.preset}")
    return plan


def planned_data(
    plan: AnyPlan,
    *,
    max_iters: int,
    seed: int,
    data: Mapping[str, Any],
    model: Mapping[str, int | float | str | bool] | None = None,
) -> dict[str, Any]:
    """Return the payload of ``run.planned``, but for the gate."""
    return {
        "max_iters": max_iters,
        "seed": seed,
        "model": dict(model or {}),
        "data": dict(data),
        "overrides": presets.departures(plan),
    }


def data_source(data: Path | bytes | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the ``data`` member of ``run.planned``: a name, a digest and a size.

    Raises:
        MisuseError: The file cannot be read.
    """
    if isinstance(data, Mapping):
        return dict(data)
    if isinstance(data, Path):
        name, content = data.name, _content(data)
    else:
        name, content = ("not named", b"") if data is None else ("bytes", data)
    return {"name": name, "sha256": sha256(content).hexdigest(), "bytes": len(content)}


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MisuseError(f"{path} cannot be read: {error.strerror}") from error


class _Attached:
    """A run whose wrapper says how it ended."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def close(self, error: BaseException | None = None) -> None:
        """Make everything durable; whatever *error* is, the wrapper will see it."""
        del error
        self.session.close()


class _Own:
    """A run that this process opens and closes itself."""

    def __init__(
        self,
        outdir: Path,
        kind: str,
        *,
        key: Key | None,
        ledger: Path | str | None,
        finalize: Finalize | None,
    ) -> None:
        self._finalize = finalize
        self._begun = time.monotonic()
        self._book = _opened(Path(ledger) if ledger is not None else outdir, key, outdir.name)
        try:
            run_id = new_run_id()
            self._witness = Witness(self._book, run_id, outdir)
            known = determinism(os.environ, strict=False, own_threads=False)
            facts = capture(sys.orig_argv, env=os.environ, cwd=Path.cwd(), determinism=known)
            self._runner = _let_in(self._book, run_id, facts, kind=kind, outdir=outdir)
            with suppress(StoreError):  # it describes the run; it must not prevent it
                facts.write(outdir)
            place = Ledger.open(self._book.path, key=self._runner)
        except BaseException:
            self._book.close()
            raise
        self.session = Session(place, run_id, outdir)

    def close(self, error: BaseException | None = None) -> None:
        """Say how the run ended, and record the files of the run directory.

        Raises:
            LedgerError: Something could not be recorded.
        """
        lost: LedgerError | None = None
        try:
            self.session.close()
        except LedgerError as problem:
            lost = problem
        try:
            self._witness.revoke(self._runner)
            # The kind of error, and not its text, which could hold anything.
            status, ending = _ended(error, lost)
            reason = None if status == "success" else type(lost or error).__name__
            self._witness.close(status, ending, wall_s=self._wall(), reason=reason)
            self._witness.finish(self._finalize)
        finally:
            self._book.close()
        if lost is not None:
            raise lost

    def _wall(self) -> float:
        return round(time.monotonic() - self._begun, 3)


def _ended(error: BaseException | None, lost: LedgerError | None) -> tuple[str, Ending]:
    """Return the status and the ending to record."""
    if lost is not None:
        return "wrapper_failure", Ending(exit_code=None, signal=None)
    if error is None:
        return "success", Ending(exit_code=0, signal=None)
    if isinstance(error, KeyboardInterrupt):
        return "user_code_failure", Ending(exit_code=None, signal="SIGINT")
    code = error.code if isinstance(error, SystemExit) else _FAILED
    if code is None or code == 0:
        return "success", Ending(exit_code=0, signal=None)
    return "user_code_failure", Ending(code & 255 if isinstance(code, int) else _FAILED, None)


def _opened(place: Path, key: Key | None, name: str) -> Ledger:
    """Open the ledger at *place*, or make one."""
    there = any((place / each).exists() for each in NAMES) if place.is_dir() else place.exists()
    if not there:
        return Ledger.create(place, name=name, key=key or Key.generate("owner"))
    if key is None:
        raise MisuseError(
            f"{place} holds a ledger already: to add a run to it, give the key that owns it"
            " (key=Key.from_file(PATH)), or choose another directory"
        )
    return Ledger.open(place, key=key)


def _let_in(book: Ledger, run_id: str, facts: Provenance, *, kind: str, outdir: Path) -> Key:
    """Authorise a key for the observations, record the start, and return the key."""
    try:
        book.check_may_write("run.opened")
        key = Key.generate(f"runner-{run_id}")
        book.authorize(key.public, name=key.name, roles=["runner"])
    except KeyRefusedError as error:
        raise MisuseError(f"{book.path}: {error}; give the key that owns this ledger") from error
    try:
        opened = facts.opened(kind=kind, outdir=outdir, runner_key=key.id)
        opened.pop("wrapper_argv", None)  # there is no wrapper
        book.append(Event("run.opened", f"run/{run_id}", {**opened, "witness": "in_process"}))
    except BaseException:
        with suppress(LedgerError):  # the first fault is the one to tell of
            book.revoke(key.id, reason="run closed")
        raise
    return key
