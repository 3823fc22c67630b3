"""What a report keeps of a run while it is folded (``report_page`` puts it into words)."""

import math
from collections.abc import Callable
from typing import Any

import msgspec

from ledger.events import Payload
from ledger.events.run import (
    ArtifactRecorded,
    FaultInjected,
    GateChecked,
    MetricObserved,
    RunFinished,
    RunOpened,
    RunPlanned,
)
from projections.protocol import EntryLike
from projections.runs import Runs, RunState, decision_of
from projections.summary import Tally

MARKS = {"pass": "p", "warn": "W", "fail": "F", "skip": "."}
"""One letter for each decision in the strip; what needs attention is in capitals."""

FLAGS_KEPT = 12


class Origin(msgspec.Struct, forbid_unknown_fields=True):
    """Where the run took place, from ``run.opened``."""

    package: str
    python: str
    platform: str
    commit: str | None
    dirty: bool | None


class Plan(msgspec.Struct, forbid_unknown_fields=True):
    """What the run set out to do, from ``run.planned``."""

    max_iters: int
    seed: int
    model: dict[str, int | float | str | bool]
    data_name: str
    data_sha256: str
    data_bytes: int


class Finish(msgspec.Struct, forbid_unknown_fields=True):
    """The runner's last word, from ``run.finished``."""

    iters: int
    final_loss: float | str | None


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """A corruption that the runner put into its own input."""

    iter: int
    kind: str
    fraction: float


class Flag(msgspec.Struct, forbid_unknown_fields=True):
    """A check that warned or failed, and the metric that moved most."""

    iter: int
    decision: str
    worst_dw: float | str | None
    eps_eff: float | None
    metric: str | None
    reason: str


class Spread(msgspec.Struct, forbid_unknown_fields=True):
    """One metric over the run; *low* and *high* are of the finite values."""

    count: int
    nonfinite: int
    first: float | str
    last: float | str
    low: float | None
    high: float | None


class Artifact(msgspec.Struct, forbid_unknown_fields=True):
    """A file as it was recorded last."""

    sha256: str
    bytes: int
    media_type: str


class ReportRun(RunState):
    """Everything that the report of one run says. ``iters`` and ``marks`` go side by side."""

    tally: Tally = msgspec.field(default_factory=Tally)
    origin: Origin | None = None
    plan: Plan | None = None
    finish: Finish | None = None
    faults: list[Fault] = msgspec.field(default_factory=list)
    iters: list[int] = msgspec.field(default_factory=list)
    marks: list[str] = msgspec.field(default_factory=list)
    flags: list[Flag] = msgspec.field(default_factory=list)
    spreads: dict[str, Spread] = msgspec.field(default_factory=dict)
    artifacts: dict[str, Artifact] = msgspec.field(default_factory=dict)


class Report(Runs[ReportRun]):
    """The runs, and the place in the ledger that the report was made at."""

    ledger: str | None = None
    name: str = ""
    size: int = 0
    head: str | None = None
    until: str | None = None

    def stand_at(self, entry: EntryLike) -> None:
        """Take *entry* as the last one; the first is what the ledger is named by."""
        if entry.seq == 0:
            self.ledger = entry.hash
            name = entry.data.get("name")
            self.name = name if isinstance(name, str) else ""
        self.size, self.head, self.until = entry.seq + 1, entry.hash, entry.time


def take(run: ReportRun, payload: Payload) -> None:
    """Add one event to the report of its run."""
    step = _STEPS.get(type(payload))
    if step is not None:
        step(run, payload)


def _opened(run: ReportRun, payload: RunOpened) -> None:
    if run.origin is None:
        run.origin = Origin(
            package=f"{payload.package.name} {payload.package.version}",
            python=payload.python,
            platform=payload.platform,
            commit=payload.git.sha,
            dirty=payload.git.dirty,
        )


def _planned(run: ReportRun, payload: RunPlanned) -> None:
    if run.plan is None:
        run.plan = Plan(
            max_iters=payload.max_iters,
            seed=payload.seed,
            model=payload.model,
            data_name=payload.data.name,
            data_sha256=payload.data.sha256,
            data_bytes=payload.data.bytes,
        )


def _finished(run: ReportRun, payload: RunFinished) -> None:
    if run.finish is None:
        run.finish = Finish(iters=payload.iters, final_loss=payload.final_loss)


def _faulted(run: ReportRun, payload: FaultInjected) -> None:
    run.faults.append(Fault(iter=payload.iter, kind=payload.kind, fraction=payload.fraction))


def _checked(run: ReportRun, payload: GateChecked) -> None:
    decision = decision_of(payload)
    run.tally.take(decision, payload.iter)
    run.iters.append(payload.iter)
    run.marks.append(MARKS[decision])
    if decision in {"warn", "fail"} and len(run.flags) < FLAGS_KEPT:
        run.flags.append(_flag(payload, decision))


def _flag(check: GateChecked, decision: str) -> Flag:
    audit = check.audit
    moved = audit.per_metric_tv
    worst = max(moved, key=lambda name: (_size(moved[name]), name), default=None)
    return Flag(
        iter=check.iter,
        decision=decision,
        worst_dw=audit.worst_DW,
        eps_eff=audit.eps_eff,
        metric=worst,
        reason=audit.reason,
    )


def _size(moved: float | str) -> float:
    """Return what to rank by: a number that is not finite outranks every finite one."""
    return math.inf if isinstance(moved, str) else moved


def _observed(run: ReportRun, payload: MetricObserved) -> None:
    for name, value in payload.values.items():
        spread = run.spreads.get(name)
        if spread is None:
            spread = run.spreads[name] = Spread(
                count=0, nonfinite=0, first=value, last=value, low=None, high=None
            )
        spread.count += 1
        spread.last = value
        if isinstance(value, str):
            spread.nonfinite += 1
        else:
            spread.low = value if spread.low is None else min(spread.low, value)
            spread.high = value if spread.high is None else max(spread.high, value)


def _recorded(run: ReportRun, payload: ArtifactRecorded) -> None:
    run.artifacts[payload.path] = Artifact(
        sha256=payload.sha256, bytes=payload.bytes, media_type=payload.media_type
    )


_STEPS: dict[type[Any], Callable[[ReportRun, Any], None]] = {
    RunOpened: _opened,
    RunPlanned: _planned,
    RunFinished: _finished,
    FaultInjected: _faulted,
    GateChecked: _checked,
    MetricObserved: _observed,
    ArtifactRecorded: _recorded,
}
