"""``results.json``: every gate check and every metric of a run (seed 4C).

The seed's files know no NaN. A number that was not finite is ``null`` there, and
beside it ``nonfinite`` says which it was: nothing is dropped without a word.
"""

from typing import Any

import msgspec

from ledger.events.base import Number
from ledger.events.run import Audit, GateChecked, MetricObserved
from projections.protocol import EntryLike
from projections.runs import RunCore, Runs, RunState, canonical, decision_of, follow, place
from projections.window_signature import signature_ref

FILE_NAME = "results.json"
UNPLANNED = "unplanned"  # the seed wants a gate_preset; a run that died before its plan has none


class ResultsRun(RunState):
    """A run's gate records, finished, and its metrics, one item for each event."""

    gates: list[dict[str, Any]] = msgspec.field(default_factory=list)
    metrics: list[tuple[int, dict[str, Number]]] = msgspec.field(default_factory=list)


class Results:
    """The projection of ``results.json``."""

    name = "results"
    version = 1
    state_type = Runs[ResultsRun]

    def initial(self) -> Runs[ResultsRun]:
        """Return a state without runs."""
        return Runs()

    def apply(self, state: Runs[ResultsRun], entry: EntryLike) -> Runs[ResultsRun]:
        """Append a gate check or the metrics of an iteration to their run."""
        followed = follow(state, entry, ResultsRun)
        if followed is None:
            return state
        run, payload = followed
        if isinstance(payload, GateChecked):
            run.gates.append(gate_record(payload))
        elif isinstance(payload, MetricObserved):
            run.metrics.append((payload.iter, payload.values))
        return state

    def render(self, state: Runs[ResultsRun]) -> dict[str, bytes]:
        """Return one results file for each run."""
        return place(state, lambda run: {FILE_NAME: canonical(_results(run)) + b"\n"})


def header(core: RunCore) -> dict[str, Any]:
    """Return the members that ``results.json`` and ``results_summary.json`` share."""
    ending = core.ending
    return {
        "schema_version": 1,
        "run_id": core.run_id,
        "window_signature_ref": signature_ref(core),
        "profile": {"gate_preset": preset_of(core), "overrides": {}},
        "run_status": core.status,
        "runner_exit_code": None if ending is None else ending.exit_code,
        "runner_signal": None if ending is None else ending.signal,
        "started_ts_utc": core.started,
        "ended_ts_utc": None if ending is None else ending.time,
    }


def preset_of(core: RunCore) -> str:
    """Return the gate preset, or the word for a run without a plan."""
    return UNPLANNED if core.gate is None else str(core.gate["preset"])


def gate_record(check: GateChecked) -> dict[str, Any]:
    """Return the seed's GateRecordV1. A skip has neither ``ok`` nor ``warn``: it is not a pass."""
    decision = decision_of(check)
    record: dict[str, Any] = {
        "iter": check.iter,
        "decision": decision,
        "audit": _audit_record(check.audit),
    }
    if decision != "skip":
        record["ok"] = decision != "fail"
        record["warn"] = decision == "warn"
    return record


def _audit_record(audit: Audit) -> dict[str, Any]:
    record: dict[str, Any] = {
        "evaluated": audit.evaluated,
        "reason": audit.reason,
        "policy": audit.policy,
        "worst_DW": audit.worst_DW,
        "eps_eff": audit.eps_eff,
        "per_metric_tv": {
            name: value for name, value in audit.per_metric_tv.items() if not isinstance(value, str)
        },
        "evidence_total": audit.evidence_total,
        "min_evidence": audit.min_evidence,
    }
    nonfinite: dict[str, Any] = {}
    if isinstance(audit.worst_DW, str):
        record["worst_DW"], nonfinite["worst_DW"] = None, audit.worst_DW
    # Nested, so that a metric that calls itself worst_DW hides nothing.
    lost = {name: value for name, value in audit.per_metric_tv.items() if isinstance(value, str)}
    if lost:
        nonfinite["per_metric_tv"] = lost
    if nonfinite:
        record["nonfinite"] = nonfinite
    return record


def _results(run: ResultsRun) -> dict[str, Any]:
    return {
        **header(run.core),
        "gates": run.gates,
        "metrics": [
            _metric_record(name, step, value)
            for step, values in run.metrics
            for name, value in sorted(values.items())
        ],
    }


def _metric_record(name: str, step: int, value: float | str) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": name, "iter": step, "value": None, "nonfinite": value}
    return {"name": name, "iter": step, "value": value}
