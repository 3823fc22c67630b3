"""What a report keeps of a run while it is folded (``report_page`` puts it into words)."""

import math
from collections.abc import Callable
from typing import Any

import msgspec

from ledger.events import Payload
from ledger.events.run import (
    ArtifactRecorded,
    FaultInjected,
    GateAnchored,
    GateChecked,
    Injection,
    MetricObserved,
    RunFinished,
    RunOpened,
    RunPlanned,
    RunRank,
    RunResumed,
    RunSaved,
)
from projections.governance import Log
from projections.judgement import Judged, judge
from projections.protocol import EntryLike
from projections.runs import Runs, RunState, decision_of
from projections.summary import Tally

MARKS = {"pass": "p", "warn": "W", "fail": "F", "skip": "."}
"""One letter for each decision in the strip; what needs attention is in capitals."""

FLAGS_KEPT = 12


class Origin(msgspec.Struct, forbid_unknown_fields=True):
    """Where the run took place, from ``run.opened``; ``files`` are what its wrapper writes."""

    package: str
    python: str
    platform: str
    commit: str | None
    dirty: bool | None
    witnessed: bool
    files: dict[str, str]


class Plan(msgspec.Struct, forbid_unknown_fields=True):
    """What the run set out to do, from ``run.planned``."""

    max_iters: int
    seed: int
    model: dict[str, int | float | str | bool]
    data_name: str
    data_sha256: str
    data_bytes: int
    injected_at: int | None


class Finish(msgspec.Struct, forbid_unknown_fields=True):
    """The runner's last word, from ``run.finished``."""

    iters: int
    final_loss: float | str | None
    overhead_s: float | None
    stopped: str | None


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """A corruption that the runner put into its own input."""

    iter: int
    kind: str
    fraction: float
    factor: float | None


class Anchor(msgspec.Struct, forbid_unknown_fields=True):
    """A change that the runner declared."""

    iter: int
    reason: str


class Weights(msgspec.Struct, forbid_unknown_fields=True):
    """Weights that were saved, or gone on from (*where* is a path, or a run id)."""

    iter: int
    where: str
    sha256: str


class Rank(msgspec.Struct, forbid_unknown_fields=True):
    """The ledger of another rank, as it stood at the end."""

    rank: int
    path: str
    size: int
    hash: str


class Flag(msgspec.Struct, forbid_unknown_fields=True):
    """A check that warned or failed, and the metric that moved most, or drove it."""

    iter: int
    decision: str
    worst_dw: float | str | None
    eps_eff: float | None
    metric: str | None
    view: str | None
    z: float | None
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
    resumed: Weights | None = None
    saved: int = 0
    last_saved: Weights | None = None
    faults: list[Fault] = msgspec.field(default_factory=list)
    anchors: list[Anchor] = msgspec.field(default_factory=list)
    ranks: list[Rank] = msgspec.field(default_factory=list)
    iters: list[int] = msgspec.field(default_factory=list)
    marks: list[str] = msgspec.field(default_factory=list)
    flags: list[Flag] = msgspec.field(default_factory=list)
    spreads: dict[str, Spread] = msgspec.field(default_factory=dict)
    artifacts: dict[str, Artifact] = msgspec.field(default_factory=dict)
    judged: list[Judged] = msgspec.field(default_factory=list)
    log: Log = msgspec.field(default_factory=Log)

    @property
    def onset(self) -> int | None:
        """The iteration of the first fault, recorded or planned; ``None`` if there is none."""
        steps = [fault.iter for fault in self.faults]
        if self.plan is not None and self.plan.injected_at is not None:
            steps.append(self.plan.injected_at)
        return min(steps, default=None)


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


def take(run: ReportRun, entry: EntryLike, payload: Payload) -> None:
    """Add one event to the report of its run."""
    run.log.take(run.core, entry, payload)
    judge(run.judged, entry, payload)
    step = _STEPS.get(type(payload))
    if step is not None:
        step(run, payload)


def _opened(run: ReportRun, payload: RunOpened) -> None:
    if run.origin is not None:
        return
    files = {}
    if payload.dependencies is not None and payload.dependencies.path is not None:
        files[payload.dependencies.path] = "Dependencies"
    if payload.witness == "process":
        files["runner_output.log"] = "Runner logs"
    run.origin = Origin(
        package=f"{payload.package.name} {payload.package.version}",
        python=payload.python,
        platform=payload.platform,
        commit=payload.git.sha,
        dirty=payload.git.dirty,
        witnessed=payload.witness == "process",
        files=files,
    )


def _planned(run: ReportRun, payload: RunPlanned) -> None:
    # The core has taken it in already; one that came after the close it has not.
    if run.plan is None and run.core.gate is not None:
        run.plan = Plan(
            max_iters=payload.max_iters,
            seed=payload.seed,
            model=payload.model,
            data_name=payload.data.name,
            data_sha256=payload.data.sha256,
            data_bytes=payload.data.bytes,
            injected_at=_onset(payload.injection),
        )


def _onset(injection: Injection | None) -> int | None:
    return None if injection is None else injection.at


def _finished(run: ReportRun, payload: RunFinished) -> None:
    if run.finish is None:
        run.finish = Finish(
            iters=payload.iters,
            final_loss=payload.final_loss,
            overhead_s=payload.overhead_s,
            stopped=payload.stopped,
        )


def _faulted(run: ReportRun, payload: FaultInjected) -> None:
    run.faults.append(
        Fault(
            iter=payload.iter, kind=payload.kind, fraction=payload.fraction, factor=payload.factor
        )
    )


def _anchored(run: ReportRun, payload: GateAnchored) -> None:
    run.anchors.append(Anchor(iter=payload.iter, reason=payload.reason))


def _saved(run: ReportRun, payload: RunSaved) -> None:
    run.saved += 1
    run.last_saved = Weights(iter=payload.iter, where=payload.path, sha256=payload.sha256)


def _resumed(run: ReportRun, payload: RunResumed) -> None:
    if run.resumed is None:
        run.resumed = Weights(iter=payload.iter, where=payload.from_run, sha256=payload.sha256)


def _ranked(run: ReportRun, payload: RunRank) -> None:
    run.ranks.append(
        Rank(rank=payload.rank, path=payload.path, size=payload.size, hash=payload.hash)
    )


def _checked(run: ReportRun, payload: GateChecked) -> None:
    decision = decision_of(payload)
    run.tally.take(decision, payload.iter)
    run.iters.append(payload.iter)
    run.marks.append(MARKS[decision])
    if decision in {"warn", "fail"} and len(run.flags) < FLAGS_KEPT:
        run.flags.append(_flag(payload, decision))


def _flag(check: GateChecked, decision: str) -> Flag:
    audit, forecast = check.audit, check.forecast
    moved = audit.per_metric_tv
    worst = max(moved, key=lambda name: (_size(moved[name]), name), default=None)
    return Flag(
        iter=check.iter,
        decision=decision,
        worst_dw=audit.worst_DW,
        eps_eff=audit.eps_eff,
        metric=worst if forecast is None else forecast.metric,
        view=None if forecast is None else forecast.view,
        z=None if forecast is None else forecast.z,
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
    RunSaved: _saved,
    RunResumed: _resumed,
    RunRank: _ranked,
    FaultInjected: _faulted,
    GateAnchored: _anchored,
    GateChecked: _checked,
    MetricObserved: _observed,
    ArtifactRecorded: _recorded,
}
