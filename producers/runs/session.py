"""The runner's side of a run: attach to the ledger that the wrapper opened.

A program that was started by ``ledger run`` calls :func:`attach` and records its
story: the plan before step 0, then metrics, checks and faults, then its end.
Metrics are recorded in the background; everything else is durable when its call
returns, so that whatever is done because of it comes after it on disk too.
"""

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ledger import Head, Key, Ledger, MisuseError, Recorder, number
from producers.runs.redact import known_secrets, mask_data

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
        self._secrets = known_secrets(sys.orig_argv, os.environ)

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
    def book(self) -> Ledger:
        """The ledger itself, for reading what is in it."""
        return self._book

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

    def resumed(self, data: Mapping[str, Any]) -> None:
        """Record ``run.resumed``: the weights that this run goes on from. Durable.

        Raises:
            LedgerError: It could not be recorded.
        """
        self._record_durably("run.resumed", data)

    def observe(self, iteration: int, values: Mapping[str, float]) -> None:
        """Record the metrics of one iteration, in the background.

        A value that is not finite is recorded as ``"NaN"``, ``"Infinity"`` or
        ``"-Infinity"``.

        Raises:
            LedgerError: It cannot be recorded, or an earlier event could not be.
        """
        shown = {name: number(float(value)) for name, value in values.items()}
        if self._secrets:
            shown = mask_data(shown, self._secrets)
        self._record("metric.observed", {"iter": iteration, "values": shown})

    def check(self, data: Mapping[str, Any]) -> None:
        """Record ``gate.checked``. Durable, so that it may be acted upon.

        Raises:
            LedgerError: It could not be recorded.
        """
        self._record_durably("gate.checked", data)

    def anchor(self, iteration: int, reason: str) -> None:
        """Record a change that is no fault, at which the gate begins its history anew. Durable.

        Raises:
            LedgerError: It could not be recorded.
        """
        self._record_durably("gate.anchored", {"iter": iteration, "reason": reason})

    def inject(
        self, iteration: int, kind: str, *, fraction: float = 1.0, factor: float | None = None
    ) -> None:
        """Record that the run begins to corrupt itself. Durable.

        *fraction* is the share of its input that is hit, in [0, 1]; *factor* is by
        how much a rate is multiplied, ``None`` where nothing is.

        Raises:
            LedgerError: It could not be recorded.
        """
        data = {"iter": iteration, "kind": kind, "fraction": fraction, "factor": factor}
        self._record_durably("fault.injected", data)

    def saved(self, iteration: int, path: str, *, sha256: str, size: int) -> Head:
        """Record ``run.saved``, and return where the ledger stands with it. Durable.

        *path* is where the weights are, and *sha256* and *size* (in bytes) are of
        their files (``producers.gates.resume``).

        Raises:
            LedgerError: It could not be recorded.
        """
        data = {"iter": iteration, "path": path, "sha256": sha256, "bytes": size}
        self._record_durably("run.saved", data)
        return self._book.head

    def rank(self, data: Mapping[str, Any]) -> None:
        """Record ``run.rank``: how the ledger of another rank stood at the end. Durable.

        Raises:
            LedgerError: It could not be recorded.
        """
        self._record_durably("run.rank", data)

    def finish(
        self,
        iters: int,
        final_loss: float | None,
        *,
        overhead_s: float | None = None,
        stopped: str | None = None,
    ) -> None:
        """Record the runner's own last word. Durable.

        *overhead_s* is how many seconds went into metrics, gate and recording, and
        *stopped* why the run ended before its plan did.

        Raises:
            LedgerError: It could not be recorded.
        """
        loss = None if final_loss is None else number(float(final_loss))
        data = {"iters": iters, "final_loss": loss, "overhead_s": overhead_s, "stopped": stopped}
        self._record_durably("run.finished", data)

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
        if self._secrets and event_type != "gate.checked":
            # Names of files and models are free text, and a ledger cannot be edited later.
            # What the gate decides by is none: it must be recorded as it is.
            exact = {name: value for name, value in data.items() if name == "gate"}
            data = {**mask_data(data, self._secrets), **exact}
        self._record(event_type, data)
        self._recorder.flush()


def is_witnessed(environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether a wrapper started this process, and its key was not taken yet."""
    env = os.environ if environment is None else environment
    return all(name in env for name in _NEEDED)


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
