"""The runner's side of a run: attach to the ledger that the wrapper opened.

A program that was started by ``ledger run`` calls :func:`attach` and records its
story: the plan before step 0, then metrics, checks and faults, then its end.
Metrics are recorded in the background; a plan, a check and a fault are durable
when their call returns, so that whatever is done because of them comes after
them on disk too.
"""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ledger import Key, Ledger, MisuseError, Recorder, number

_SEED_BYTES = 32
_NEEDED = ("LEDGER_KEY_FD", "LEDGER_PATH", "LEDGER_RUN_ID", "LEDGER_OUTDIR")


class Session:
    """One run, as its runner tells it."""

    def __init__(self, book: Ledger, run_id: str, outdir: Path) -> None:
        """Use ``attach`` instead, unless the ledger is open already."""
        self.run_id = run_id
        self.outdir = outdir
        self._book = book
        self._recorder = Recorder(book)

    def __enter__(self) -> Self:
        """Return the session itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Make everything durable and close, also when the block raised."""
        self.close()

    @property
    def waited(self) -> float:
        """How many seconds recording has held the training up."""
        return self._recorder.waited

    def plan(self, data: Mapping[str, Any]) -> None:
        """Record ``run.planned``: what the run commits to before step 0. Durable.

        Raises:
            LedgerError: It could not be recorded.
        """
        self._record_durably("run.planned", data)

    def observe(self, iteration: int, values: Mapping[str, float]) -> None:
        """Record the metrics of one iteration, in the background.

        A value that is not finite is recorded as ``"NaN"``, ``"Infinity"`` or
        ``"-Infinity"``.

        Raises:
            LedgerError: It cannot be recorded, or an earlier event could not be.
        """
        shown = {name: number(float(value)) for name, value in values.items()}
        self._record("metric.observed", {"iter": iteration, "values": shown})

    def check(self, data: Mapping[str, Any]) -> None:
        """Record ``gate.checked``. Durable, so that it may be acted upon.

        Raises:
            LedgerError: It could not be recorded.
        """
        self._record_durably("gate.checked", data)

    def inject(self, iteration: int, kind: str, *, fraction: float) -> None:
        """Record that the run begins to corrupt its own input. Durable.

        Raises:
            LedgerError: It could not be recorded.
        """
        self._record_durably(
            "fault.injected", {"iter": iteration, "kind": kind, "fraction": fraction}
        )

    def finish(self, iters: int, final_loss: float | None) -> None:
        """Record the runner's own last word. Durable.

        Raises:
            LedgerError: It could not be recorded.
        """
        loss = None if final_loss is None else number(float(final_loss))
        self._record_durably("run.finished", {"iters": iters, "final_loss": loss})

    def close(self) -> None:
        """Make everything durable, and let go of the ledger.

        Raises:
            LedgerError: Something could not be recorded.
        """
        try:
            self._recorder.close()
        finally:
            self._book.close()

    def _record(self, event_type: str, data: Mapping[str, Any]) -> None:
        self._recorder.record(event_type, f"run/{self.run_id}", dict(data))

    def _record_durably(self, event_type: str, data: Mapping[str, Any]) -> None:
        self._record(event_type, data)
        self._recorder.flush()


def attach(environment: MutableMapping[str, str] | None = None) -> Session:
    """Open the ledger that the wrapper named, with the key that it handed over.

    The key can be taken once: the descriptor is read to its end and closed, and
    its variable removed, so that no process started later finds either.

    Raises:
        MisuseError: This process was not started by the wrapper, or the key was taken.
        LedgerError: The ledger cannot be opened.
    """
    env = os.environ if environment is None else environment
    missing = [name for name in _NEEDED if name not in env]
    if missing:
        raise MisuseError(
            f"{', '.join(missing)} not set: this program records into a run that a wrapper"
            " opened; start it with: ledger run KIND --outdir DIR -- COMMAND"
        )
    seed = _take_seed(env.pop("LEDGER_KEY_FD"))
    run_id = env["LEDGER_RUN_ID"]
    key = Key.from_seed(seed, name=f"runner-{run_id}")
    book = Ledger.open(Path(env["LEDGER_PATH"]), key=key)
    return Session(book, run_id, Path(env["LEDGER_OUTDIR"]))


def _take_seed(descriptor: str) -> bytes:
    try:
        with os.fdopen(int(descriptor), "rb", buffering=0) as pipe:
            seed = pipe.read(_SEED_BYTES + 1)
    except (OSError, ValueError) as error:
        raise MisuseError("the runner's key cannot be read: LEDGER_KEY_FD is not open") from error
    if len(seed) != _SEED_BYTES:
        raise MisuseError("the runner's key was taken already")
    return seed
