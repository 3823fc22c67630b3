"""What several files of a capsule say in the same words: headers, gate records, audits.

The content is docs/reference/capsule.md, sections 2 and 4. The seed's files know no
NaN. A number that was not finite is ``null`` there, and beside it ``nonfinite`` says
which it was: nothing is dropped without a word.
"""

from typing import Any

from ledger.events.run import Audit, Forecast, GateChecked
from projections.runs import RunCore, decision_of, second
from projections.window_signature import signature_ref

UNPLANNED = "unplanned"  # the seed wants a gate_preset; a run that died before its plan has none
WRAPPER_EXIT = {"success": 0, "user_code_failure": 2, "veriscope_failure": 3}
"""The code that the wrapper owes for a status (seed 2.7); it cannot record its own."""


def header(core: RunCore) -> dict[str, Any]:
    """Return the members that ``results.json`` and ``results_summary.json`` share."""
    shared = {"distributed": core.distributed} if core.distributed else {}
    return {
        "schema_version": 1,
        "run_id": core.run_id,
        "window_signature_ref": signature_ref(core),
        "profile": profile(core),
        "run_status": core.status,
        **ending_of(core),
        **shared,
    }


def profile(core: RunCore) -> dict[str, Any]:
    """Return the preset's name and what departs from it."""
    return {"gate_preset": preset_of(core), "overrides": core.overrides}


def ending_of(core: RunCore) -> dict[str, Any]:
    """Return when the run began and ended, and how its process did.

    An end before the start is none: the clock went back, and the seed's readers
    refuse a file that says so.
    """
    ending = core.ending
    started, ended = second(core.started), None if ending is None else second(ending.time)
    return {
        "runner_exit_code": None if ending is None else ending.exit_code,
        "runner_signal": None if ending is None else ending.signal,
        "started_ts_utc": started,
        "ended_ts_utc": None if ended is None or ended < started else ended,
    }


def preset_of(core: RunCore) -> str:
    """Return the preset of the plan, or what was asked for, or the word for a run without."""
    return (core.asked or UNPLANNED) if core.gate is None else str(core.gate["preset"])


def gate_record(check: GateChecked) -> dict[str, Any]:
    """Return the seed's GateRecordV1. A skip has neither ``ok`` nor ``warn``: it is not a pass."""
    decision = decision_of(check)
    record: dict[str, Any] = {
        "iter": check.iter,
        "decision": decision,
        "audit": audit_record(check.audit, check.forecast),
    }
    if decision != "skip":
        record["ok"] = decision != "fail"
        record["warn"] = decision == "warn"
    return record


def audit_record(audit: Audit, forecast: Forecast | None) -> dict[str, Any]:
    """Return the seed's AuditV1, and what drove a forecasting gate."""
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
    if forecast is not None:
        record.update(
            driver=forecast.metric, view=forecast.view, z=forecast.z, regime=forecast.regime
        )
    return record
