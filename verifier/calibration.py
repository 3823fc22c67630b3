"""``calibration.csv`` and its description a second time (docs/reference/capsule.md, section 9)."""

import json
import re
from collections.abc import Mapping
from typing import Any

from verifier.facts import canonical, facts_of, seconds
from verifier.record import gate_record
from verifier.runs import Gate, Replay

__all__ = ["CALIBRATION", "META", "calibration_csv", "calibration_meta"]

CALIBRATION = "calibration.csv"
META = "calibration.meta.json"
_COLUMNS = (
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
    "regime_worst_DW",
    "regime_eps_eff",
    "regime_eps_stat",
    "regime_margin_raw",
    "regime_margin_eff",
    "regime_margin_rel_eff",
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
_DISTANCE = "total variation, 0 to 1"
_CHANGE = ("worst_DW", "eps_eff", "eps", "eps_stat", "margin_raw", "margin_eff")
_UNITS = {
    "iter_num": "iteration",
    "timestamp_utc": "UTC, ISO 8601",
    "evidence_total": "observations",
    "gain_bits": "bits",
    **{f"change_{name}": _DISTANCE for name in _CHANGE},
    **{f"regime_{name}": _DISTANCE for name in _CHANGE if name != "eps"},
    "change_margin_rel_eff": "ratio",
    "regime_margin_rel_eff": "ratio",
}
_WORD = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_QUOTED = re.compile(r'[,"\r\n]')


def calibration_csv(replay: Replay) -> bytes | None:
    """Return the table, or ``None`` for a run without a plan."""
    facts = facts_of(replay)
    if facts.planned is None:
        return None
    epsilon = facts.planned.data["gate"].get("epsilon")
    rows = [_row(gate, epsilon) for gate in _evaluated(replay)]
    lines = [",".join(_COLUMNS)]
    lines += [",".join(_cell(row.get(name)) for name in _COLUMNS) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode()


def calibration_meta(replay: Replay) -> bytes | None:
    """Return what describes the table, or ``None`` if there is none."""
    facts = facts_of(replay)
    if facts.planned is None:
        return None
    said = {
        "schema_version": 1,
        "run_id": facts.run_id,
        "gate_preset": facts.preset,
        "window_signature_ref": facts.reference,
        "columns": _COLUMNS,
        "units": _UNITS,
        "rows": len(_evaluated(replay)),
    }
    return canonical(said) + b"\n"


def _evaluated(replay: Replay) -> list[Gate]:
    return [gate for gate in replay.gates if gate.decision != "skip"]


def _row(gate: Gate, epsilon: float | None) -> dict[str, Any]:
    audit = gate_record(gate)["audit"]
    worst, bound, reason = audit["worst_DW"], audit["eps_eff"], audit["reason"]
    plain = None if epsilon is None else float(epsilon)
    margin = _less(worst, bound)
    sound = gate.decision != "fail"
    return {
        "iter_num": gate.iter,
        "timestamp_utc": seconds(gate.time),
        "change_worst_DW": worst,
        "change_eps_eff": bound,
        "change_eps": plain,
        "change_margin_raw": _less(worst, plain),
        "change_margin_eff": margin,
        "change_margin_rel_eff": margin / bound if margin is not None and bound else None,
        "change_evaluated": audit["evaluated"],
        "change_ok": sound,
        "evidence_total": audit["evidence_total"],
        "decision_source": reason if _WORD.fullmatch(reason) else None,
        "regime_id": audit.get("regime"),
        "combined_ok": sound,
        "per_metric_tv_json": _ascii(audit["per_metric_tv"]),
        "meta_json": _ascii(_meta(gate, audit)),
    }


def _meta(gate: Gate, audit: Mapping[str, Any]) -> dict[str, Any]:
    names = ("min_evidence", "policy", "reason", "driver", "view", "z")
    return {"decision": gate.decision} | {n: audit[n] for n in names if n in audit}


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _ascii(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    text = repr(value) if isinstance(value, float) else str(value)
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
