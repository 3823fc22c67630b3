"""One run as its events tell it: the order that is possible, and the second count.

All events of a run have one subject, ``run/<run id>``. :class:`Run` is the fold,
:class:`Replay` what the first *n* entries of the ledger say of the run. Which order is
possible is judged by ``verifier.order``, and what the gate decided by ``verifier.gates``.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from verifier.findings import Fault
from verifier.gates import Recount, Referee
from verifier.measured import Metrics, metrics_digest
from verifier.order import ONCE, Order
from verifier.plan import load_presets, plan_faults
from verifier.signature import Plan

__all__ = ["Closing", "Counts", "Event", "Gate", "Replay", "Run", "metrics_digest"]

_KEPT_FAMILIES = frozenset({"run", "fault", "governance"})


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a run, as it stands in the ledger; ``key`` is the id of the signing key."""

    seq: int
    time: str
    type: str
    data: Mapping[str, Any]
    key: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate check; ``payload`` is the JSON of the whole event.

    ``decision`` is the one to count, which is not the recorded one if that is a pass
    that was not evaluated.
    """

    seq: int
    time: str
    iter: int
    decision: str
    payload: bytes

    @property
    def data(self) -> dict[str, Any]:
        """The payload of the event."""
        data: dict[str, Any] = msgspec.json.decode(self.payload)
        return data

    @property
    def audit(self) -> bytes:
        """The JSON of what the event says about how the decision came about."""
        return msgspec.json.encode(self.data["audit"])


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
    """What the first entries of a ledger say of one run.

    ``events`` are those of ``run.*``, ``fault.*``, ``governance.*`` and ``gate.anchored``
    that fit their schema, in order, and of those that a run has once only the first;
    like ``gates`` they are kept for a run directory only. ``recount`` is over all entries.
    """

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
    events: tuple[Event, ...]
    recount: Recount

    @property
    def final_decision(self) -> str:
        """The decision of the whole run."""
        return self.counts.final_decision

    @property
    def judgements(self) -> tuple[Event, ...]:
        """What people judged of the run, and took back, in order."""
        return tuple(event for event in self.events if event.type.startswith("governance."))

    def event(self, event_type: str) -> Event | None:
        """Return the first event of *event_type* that was kept, such as ``run.planned``."""
        return next((event for event in self.events if event.type == event_type), None)


@dataclass(slots=True)
class Run:
    """The fold over the events of one subject."""

    subject: str
    keep: bool = False
    weight: int = 0
    opened: tuple[int, str] | None = None
    closing: Closing | None = None
    _order: Order = field(default_factory=Order)
    _referee: Referee | None = None
    _checked: int = 0
    _kind: str | None = None
    _asked: str | None = None
    _plan: tuple[int, dict[str, Any]] | None = None
    _tally: dict[str, int] = field(default_factory=dict)
    _first_fail: int | None = None
    _gates: list[Gate] = field(default_factory=list)
    _events: list[Event] = field(default_factory=list)
    _metrics: Metrics = field(default_factory=Metrics)

    @property
    def run_id(self) -> str:
        """The subject without its ``run/``."""
        return self.subject.removeprefix("run/")

    @property
    def metrics(self) -> Metrics:
        """What was measured, as digests; nothing unless it is kept."""
        return self._metrics

    @property
    def recount(self) -> Recount:
        """How many gate checks were decided again."""
        if self._referee is None:
            return Recount(self._checked)
        referee = self._referee
        unobserved = tuple(sorted(referee.unobserved)) if self._checked else ()
        return Recount(self._checked, referee.decided, referee.anchors, unobserved)

    def follow(  # the members of one entry, not options
        self,
        seq: int,
        event_type: str,
        *,
        time: str,
        data: dict[str, Any] | None,
        weight: int,
        key: str = "",
    ) -> list[Fault]:
        """Take the run's next event; return what the story does not allow about it.

        *data* is ``None`` when it does not fit its schema: such an event has its
        place in the order, and is not counted. *weight* is the size of the entry.
        """
        self.weight += weight
        again = event_type in ONCE and event_type in self._order.seen
        fault = self._order.follow(event_type, data)
        if not again:
            self._mark(seq, event_type, time=time, data=data)
        faults = [] if fault is None else [Fault("event.order", f"{event_type}: {fault}")]
        if data is None or again:
            return faults
        event = Event(seq, time, event_type, data, key)
        self._fold(event)
        return faults or self._judge(event)

    def _mark(self, seq: int, event_type: str, *, time: str, data: dict[str, Any] | None) -> None:
        """Note the two ends of the run, whether or not their payloads can be understood."""
        if event_type == "run.opened":
            self.opened = (seq, time)
        if event_type == "run.closed":
            said = data or {}
            self.closing = Closing(
                seq, time, said.get("status"), said.get("exit_code"), said.get("signal")
            )

    def _fold(self, event: Event) -> None:
        fold = _FOLDS.get(event.type)
        if fold is not None:
            fold(self, event)
        kept = event.type.partition(".")[0] in _KEPT_FAMILIES or event.type == "gate.anchored"
        if self.keep and kept:
            self._events.append(event)

    def _open(self, event: Event) -> None:
        self._kind = event.data["kind"]
        self._asked = event.data.get("gate_preset")

    def _take_plan(self, event: Event) -> None:
        self._plan = (event.seq, event.data["gate"])

    def _check(self, event: Event) -> None:
        data = event.data
        decision = _decision(data)
        self._checked += 1
        self._tally[decision] = self._tally.get(decision, 0) + 1
        if decision == "fail" and (self._first_fail is None or data["iter"] < self._first_fail):
            self._first_fail = data["iter"]
        if self.keep:
            payload = msgspec.json.encode(data)
            self._gates.append(Gate(event.seq, event.time, data["iter"], decision, payload))

    def _observe(self, event: Event) -> None:
        if self.keep:
            self._metrics.add(event.seq, event.data["iter"], event.data["values"])

    def _judge(self, event: Event) -> list[Fault]:
        """Hold a possible event against the plan of the gate."""
        if event.type == "run.planned":
            faults = plan_faults(event.data, self._asked, load_presets())
            if faults:
                return [Fault("gate.plan", "; ".join(faults))]
            self._referee = Referee(event.data["gate"])
        return [] if self._referee is None else self._referee.follow(event.type, event.data)

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
            events=tuple(itertools.takewhile(lambda event: there(event.seq), self._events)),
            recount=self.recount,
        )


_FOLDS: Mapping[str, Callable[[Run, Event], None]] = {
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
