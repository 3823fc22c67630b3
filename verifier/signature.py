"""``window_signature.json`` a second time: what two runs must share to be compared.

It follows from the gate's plan alone, down to the byte (docs/reference/capsule.md,
section 3), so no hostile file has to be parsed: the bytes are made again and compared.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "SIGNATURE_PATH",
    "Plan",
    "engine_of",
    "gate_controls",
    "signature_bytes",
    "signature_hash",
]

SIGNATURE_PATH = "window_signature.json"
_HISTOGRAM = "histogram/1"
_FLOATS = ("epsilon", "gain", "warn_z", "fail_z")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the signature is made of: the kind of run, and the gate's plan if there was one."""

    kind: str | None
    gate: Mapping[str, Any] | None


def signature_hash(plan: Plan) -> str:
    """Return the digest that the result files refer to; the file's final line feed is not in it."""
    return hashlib.sha256(signature_bytes(plan)).hexdigest()


def signature_bytes(plan: Plan) -> bytes:
    """Return the canonical JSON of the signature, without a line feed."""
    return _canonical(_unplanned(plan.kind) if plan.gate is None else _planned(plan.gate))


def engine_of(gate: Mapping[str, Any]) -> str:
    """Return the name of the engine that a plan is for."""
    return str(gate.get("engine", _HISTOGRAM))


def gate_controls(gate: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan as its schema types it, and the names that the public guide uses."""
    controls = {name: value for name, value in gate.items() if name != "preset"}
    if engine_of(gate) == _HISTOGRAM:
        controls.setdefault("gain", None)
        controls["ranges"] = {
            name: [float(end) for end in ends] for name, ends in gate["ranges"].items()
        }
        controls["weights"] = {name: float(weight) for name, weight in gate["weights"].items()}
    for name in _FLOATS:
        if isinstance(controls.get(name), int):
            controls[name] = float(controls[name])
    return controls | {
        "gate_window": gate["window"],
        "gate_warmup": gate["warmup"],
        "gate_warmup_iters": gate["warmup"],
        "persistence_k": gate["persistence"],
        "min_metrics_exceeding": gate.get("min_metrics_exceeding"),
        "eps_sens": None,
        "cap_frac": None,
    }


def _unplanned(kind: str | None) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "placeholder": True,
        "reason": "the run recorded no plan",
        "run_kind": kind,
    }


def _planned(gate: Mapping[str, Any]) -> dict[str, Any]:
    metrics = gate["metrics"] if "metrics" in gate else gate["ranges"]
    controls = gate_controls(gate)
    window = {"kind": "iterations", "size": gate["window"], "stride": gate["metric_interval"]}
    return {
        "schema_version": 1,
        "code_identity": {"package": "evidence-ledger", "gate_engine": engine_of(gate)},
        "transport": {"name": "evidence_ledger_v1", "cadence": gate["metric_interval"]},
        "evidence": {"metrics": sorted(metrics), "window": window},
        "gate_controls": controls,
        "gate_controls_hash": hashlib.sha256(_canonical(controls)).hexdigest(),
    }


def _canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()
