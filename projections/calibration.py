"""``calibration.csv`` and ``calibration.meta.json``: every evaluated check as a row (seed 3).

The columns are the public contract's, all of them and in its order. Many belong to
an engine that we do not have: they are empty. No text from the ledger stands in a
cell of its own unless it is a plain word, so that a spreadsheet cannot take one for
a formula; the rest is inside JSON.
"""

import csv
import io
import json
import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from ledger.events.run import Forecast, GateChecked
from projections.protocol import EntryLike
from projections.records import audit_record, preset_of
from projections.runs import Runs, RunState, canonical, decision_of, follow, place, second
from projections.window_signature import signature_ref

TABLE_NAME = "calibration.csv"
META_NAME = "calibration.meta.json"

_CHANNEL = ("worst_DW", "eps_eff", "eps_stat", "margin_raw", "margin_eff", "margin_rel_eff")
COLUMNS = (
    "iter_num",
    "timestamp_utc",
    "change_worst_DW",
    "change_eps_eff",
    "change_eps",
    "change_eps_stat",
    "change_margin_raw",
    "change_margin_eff",
    "change_margin_rel_eff",
    "change_evaluated",
    "change_ok",
    *(f"regime_{name}" for name in _CHANNEL),
    "regime_check_ran",
    "regime_ok",
    "evidence_total",
    "decision_source",
    "decision_source_stability",
    "decision_source_gate",
    "regime_state",
    "regime_id",
    "regime_active_effective",
    "regime_shadow_mode",
    "gain_bits",
    "gain_ok",
    "combined_ok",
    "per_metric_tv_json",
    "meta_json",
)
_DISTANCE, _RATIO = "total variation, 0 to 1", "ratio"
UNITS: Mapping[str, str] = MappingProxyType(
    {
        "iter_num": "iteration",
        "timestamp_utc": "UTC, ISO 8601",
        "evidence_total": "observations",
        "gain_bits": "bits",
        "change_eps": _DISTANCE,
        **{
            f"{channel}_{name}": _RATIO if name == "margin_rel_eff" else _DISTANCE
            for channel in ("change", "regime")
            for name in _CHANNEL
        },
    }
)
_WORD = re.compile("[a-z][a-z0-9_]*")

Row = dict[str, str | int | float | None]


class CalibrationRun(RunState):
    """The rows of one run; what the plan adds to them is added when they are written."""

    rows: list[Row] = msgspec.field(default_factory=list)


class Calibration:
    """The projection of ``calibration.csv`` and ``calibration.meta.json``."""

    name = "calibration"
    version = 1
    state_type = Runs[CalibrationRun]

    def initial(self) -> Runs[CalibrationRun]:
        """Return a state without runs."""
        return Runs()

    def apply(self, state: Runs[CalibrationRun], entry: EntryLike) -> Runs[CalibrationRun]:
        """Append the row of an evaluated check."""
        followed = follow(state, entry, CalibrationRun)
        if followed is not None:
            run, payload = followed
            if isinstance(payload, GateChecked) and decision_of(payload) != "skip":
                run.rows.append(_row(payload, entry.time))
        return state

    def render(self, state: Runs[CalibrationRun]) -> dict[str, bytes]:
        """Return the table of each run that has a plan, and what its columns are."""
        return place(state, _files)


def _row(check: GateChecked, time: str) -> Row:
    audit = audit_record(check.audit, None)
    passed = int(check.decision != "fail")
    return {
        "iter_num": check.iter,
        "timestamp_utc": second(time),
        "change_worst_DW": audit["worst_DW"],
        "change_eps_eff": audit["eps_eff"],
        "change_evaluated": int(audit["evaluated"]),
        "change_ok": passed,
        "evidence_total": audit["evidence_total"],
        "decision_source": audit["reason"] if _WORD.fullmatch(audit["reason"]) else None,
        "regime_id": None if check.forecast is None else check.forecast.regime,
        "combined_ok": passed,
        "per_metric_tv_json": _json(audit["per_metric_tv"]),
        "meta_json": _json(_meta(check, check.forecast)),
    }


def _meta(check: GateChecked, forecast: Forecast | None) -> dict[str, Any]:
    audit = check.audit
    meta: dict[str, Any] = {
        "decision": check.decision,
        "min_evidence": audit.min_evidence,
        "policy": audit.policy,
        "reason": audit.reason,
    }
    if forecast is not None:
        meta.update(driver=forecast.metric, view=forecast.view, z=forecast.z)
    return meta


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _files(run: CalibrationRun) -> dict[str, bytes]:
    plan = run.core.gate
    if plan is None:
        return {}
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, restval=None, lineterminator="\n")
    table.writeheader()
    table.writerows({**row, **_margins(row, plan.get("epsilon"))} for row in run.rows)
    meta = {
        "schema_version": 1,
        "run_id": run.core.run_id,
        "gate_preset": preset_of(run.core),
        "window_signature_ref": signature_ref(run.core),
        "columns": COLUMNS,
        "units": dict(UNITS),
        "rows": len(run.rows),
    }
    return {TABLE_NAME: text.getvalue().encode(), META_NAME: canonical(meta) + b"\n"}


def _margins(row: Row, epsilon: float | None) -> Row:
    """Return by how much D_W is over each threshold, where there are both."""
    worst, effective = row["change_worst_DW"], row["change_eps_eff"]
    margins: Row = {"change_eps": epsilon}
    if isinstance(worst, float) and epsilon is not None:
        margins["change_margin_raw"] = worst - epsilon
    if isinstance(worst, float) and isinstance(effective, float):
        margins["change_margin_eff"] = worst - effective
        relative = (worst - effective) / effective if effective else math.inf
        margins["change_margin_rel_eff"] = relative if math.isfinite(relative) else None
    return margins
