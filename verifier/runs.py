"""One run as its events tell it: the order that is possible, and the second count.

A run is opened by the wrapper, planned by the runner, measured and checked,
finished by the runner and closed by the wrapper; all its events have one
subject, ``run/<run id>``. :class:`Run` is the fold, :class:`Replay` what the
first *n* entries of the ledger say of the run.
"""

import hashlib
import itertools
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from verifier.signature import Plan

__all__ = ["Closing", "Counts", "Gate", "Replay", "Run", "metrics_digest"]

_MEASURING = frozenset({"metric", "gate", "fault"})
_ONCE = frozenset({"run.opened", "run.planned", "run.finished", "run.closed"})
_NOT_AFTER_THE_END = frozenset({"run.planned", "run.finished"})
_DIGEST = 16  # enough to tell whether two lists of metrics differ; this is no signature


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate check; ``audit`` is the JSON of what the event says about it."""

    seq: int
    iter: int
    decision: str
    audit: bytes


@dataclass(frozen=True, slots=True)
class Counts:
    """How many gate checks ended how. ``evaluated`` is all that were not skipped."""

    evaluated: int
    skip: int
    passed: int
    warn: int
    fail: int

    def to_json(self) -> dict[str, int]:
        """Return the counts under the names that ``results_summary.json`` uses."""
        return {
            "evaluated": self.evaluated,
            "skip": self.skip,
            "pass": self.passed,
            "warn": self.warn,
            "fail": self.fail,
        }

    @property
    def final_decision(self) -> str:
        """Any fail makes fail, else any warn warn, else any pass pass, else skip."""
        ranked = (("fail", self.fail), ("warn", self.warn), ("pass", self.passed))
        return next((decision for decision, count in ranked if count), "skip")


@dataclass(frozen=True, slots=True)
class Closing:
    """What ``run.closed`` says: how the runner's process ended, as its wrapper saw it."""

    seq: int
    time: str
    status: str | None
    exit_code: int | None
    signal: str | None


@dataclass(frozen=True, slots=True)
class Replay:
    """What the first entries of a ledger say of one run."""

    subject: str
    run_id: str
    opened: str | None
    closing: Closing | None
    plan: Plan
    counts: Counts
    first_fail_iter: int | None
    gates: tuple[Gate, ...]
    metrics: int
    metrics_digest: bytes

    @property
    def final_decision(self) -> str:
        """The decision of the whole run."""
        return self.counts.final_decision


class _Metrics:
    """A running digest over all measured values, remembered after each event.

    It takes 24 bytes an event, where the values themselves would take hundreds.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seqs = array("Q")
        self._totals = array("Q")
        self._digests = bytearray()

    def add(self, seq: int, iteration: int, values: Mapping[str, object]) -> None:
        for name in sorted(values):
            self._hash.update(_metric_bytes(iteration, name, values[name]))
        before = self._totals[-1] if self._totals else 0
        self._seqs.append(seq)
        self._totals.append(before + len(values))
        self._digests += self._hash.digest()[:_DIGEST]

    def until(self, stop: int | None) -> tuple[int, bytes]:
        """Return how many values the entries before *stop* hold, and their digest."""
        events = len(self._seqs) if stop is None else bisect_left(self._seqs, stop)
        if not events:
            return 0, hashlib.sha256().digest()[:_DIGEST]
        digest = bytes(self._digests[(events - 1) * _DIGEST : events * _DIGEST])
        return self._totals[events - 1], digest


def metrics_digest(values: Iterable[tuple[object, object, object]]) -> bytes:
    """Return the digest of (iteration, name, value), to compare with that of a replay."""
    hashed = hashlib.sha256()
    for iteration, name, value in values:
        hashed.update(_metric_bytes(iteration, name, value))
    return hashed.digest()[:_DIGEST]


def _metric_bytes(iteration: object, name: object, value: object) -> bytes:
    """The bytes by which a measured value is compared: 3 and 3.0 are one value."""
    if type(value) is int:
        value = float(value)
    return msgspec.json.encode((iteration, name, value)) + b"\n"


@dataclass(slots=True)
class Run:
    """The fold over the events of one subject."""

    subject: str
    keep: bool = False
    weight: int = 0
    opened: tuple[int, str] | None = None
    closing: Closing | None = None
    _seen: set[str] = field(default_factory=set)
    _ended: str | None = None
    _measured: bool = False
    _last_gate: int = -1
    _last_metric: int = -1
    _kind: str | None = None
    _plan: tuple[int, dict[str, Any]] | None = None
    _tally: dict[str, int] = field(default_factory=dict)
    _first_fail: int | None = None
    _gates: list[Gate] = field(default_factory=list)
    _metrics: _Metrics = field(default_factory=_Metrics)

    @property
    def run_id(self) -> str:
        """The subject without its ``run/``."""
        return self.subject.removeprefix("run/")

    def follow(
        self, seq: int, event_type: str, *, time: str, data: dict[str, Any] | None, weight: int
    ) -> str | None:
        """Take the run's next event; return why the story does not allow it, if it does not.

        *data* is ``None`` when it does not fit its schema: such an event has its
        place in the order, and is not counted. *weight* is the size of the entry.
        """
        self.weight += weight
        fault = self._forbidden(event_type) or self._iteration(event_type, data)
        self._advance(seq, event_type, time=time, data=data)
        fold = _FOLDS.get(event_type)
        if fold is not None and data is not None:
            fold(self, seq, data)
        return fault

    def _forbidden(self, event_type: str) -> str | None:
        family = event_type.partition(".")[0]
        if event_type in _ONCE and event_type in self._seen:
            return "the run had one before"
        if event_type != "run.opened" and "run.opened" not in self._seen:
            return "the run was not opened before"
        if self._ended and (family in _MEASURING or event_type in _NOT_AFTER_THE_END):
            return f"the run had ended with {self._ended}"
        if event_type == "run.planned" and self._measured:
            return "the plan comes after the first metric, gate check or fault"
        if event_type == "gate.checked" and "run.planned" not in self._seen:
            return "the gate was checked before the run was planned"
        return None

    def _iteration(self, event_type: str, data: dict[str, Any] | None) -> str | None:
        """Check that iterations go forward, and note the last."""
        if data is None:
            return None
        if event_type == "gate.checked":
            last, self._last_gate = self._last_gate, data["iter"]
            if data["iter"] <= last:
                return f"iteration {data['iter']} does not come after {last}, the last one checked"
        if event_type == "metric.observed":
            last, self._last_metric = self._last_metric, data["iter"]
            if data["iter"] < last:
                return f"iteration {data['iter']} comes before {last}, the last one observed"
        return None

    def _advance(
        self, seq: int, event_type: str, *, time: str, data: dict[str, Any] | None
    ) -> None:
        if event_type == "run.opened" and self.opened is None:
            self.opened = (seq, time)
        if event_type == "run.closed" and self.closing is None:
            said = data or {}
            self.closing = Closing(
                seq, time, said.get("status"), said.get("exit_code"), said.get("signal")
            )
        if event_type in {"run.finished", "run.closed"} and self._ended is None:
            self._ended = event_type
        if event_type in _ONCE:
            self._seen.add(event_type)
        self._measured = self._measured or event_type.partition(".")[0] in _MEASURING

    def _open(self, seq: int, data: dict[str, Any]) -> None:
        if self.opened is not None and self.opened[0] == seq:
            self._kind = data["kind"]

    def _take_plan(self, seq: int, data: dict[str, Any]) -> None:
        if self._plan is None:
            self._plan = (seq, data["gate"])

    def _check(self, seq: int, data: dict[str, Any]) -> None:
        decision = _decision(data)
        self._tally[decision] = self._tally.get(decision, 0) + 1
        if decision == "fail" and (self._first_fail is None or data["iter"] < self._first_fail):
            self._first_fail = data["iter"]
        if self.keep:
            audit = msgspec.json.encode(data["audit"])
            self._gates.append(Gate(seq, data["iter"], decision, audit))

    def _observe(self, seq: int, data: dict[str, Any]) -> None:
        if self.keep:
            self._metrics.add(seq, data["iter"], data["values"])

    def replay(self) -> Replay:
        """Return what all entries say of the run."""
        return self._replay(None, _counts(self._tally), self._first_fail, gates=tuple(self._gates))

    def replay_until(self, stop: int) -> Replay:
        """Return what the entries before *stop* say of the run, which must keep its gates."""
        gates = tuple(itertools.takewhile(lambda gate: gate.seq < stop, self._gates))
        tally: dict[str, int] = {}
        for gate in gates:
            tally[gate.decision] = tally.get(gate.decision, 0) + 1
        first_fail = min((gate.iter for gate in gates if gate.decision == "fail"), default=None)
        return self._replay(stop, _counts(tally), first_fail, gates=gates)

    def _replay(
        self,
        stop: int | None,
        counts: Counts,
        first_fail: int | None,
        *,
        gates: tuple[Gate, ...],
    ) -> Replay:
        def there(seq: int) -> bool:
            return stop is None or seq < stop

        metrics, digest = self._metrics.until(stop)
        opened = self.opened is not None and there(self.opened[0])
        planned = self._plan is not None and there(self._plan[0])
        closed = self.closing is not None and there(self.closing.seq)
        return Replay(
            subject=self.subject,
            run_id=self.run_id,
            opened=self.opened[1] if opened and self.opened else None,
            closing=self.closing if closed else None,
            plan=Plan(
                kind=self._kind if opened else None,
                gate=self._plan[1] if planned and self._plan else None,
            ),
            counts=counts,
            first_fail_iter=first_fail,
            gates=gates,
            metrics=metrics,
            metrics_digest=digest,
        )


_FOLDS: Mapping[str, Callable[[Run, int, dict[str, Any]], None]] = {
    "run.opened": Run._open,  # noqa: SLF001 - the table belongs to the class
    "run.planned": Run._take_plan,  # noqa: SLF001 - as above
    "gate.checked": Run._check,  # noqa: SLF001 - as above
    "metric.observed": Run._observe,  # noqa: SLF001 - as above
}


def _decision(data: Mapping[str, Any]) -> str:
    """Return the decision to count: a pass that was not evaluated is a skip, never a pass."""
    unfounded = data["decision"] == "pass" and not data["audit"]["evaluated"]
    return "skip" if unfounded else str(data["decision"])


def _counts(tally: Mapping[str, int]) -> Counts:
    passed, warn, fail = (tally.get(decision, 0) for decision in ("pass", "warn", "fail"))
    return Counts(passed + warn + fail, tally.get("skip", 0), passed, warn, fail)
