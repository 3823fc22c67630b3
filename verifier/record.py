"""A gate check as the files of a capsule show it (docs/reference/capsule.md, section 4)."""

from collections.abc import Mapping
from typing import Any

from verifier.facts import number
from verifier.runs import Gate

__all__ = ["gate_record"]

_PLAIN = ("evaluated", "reason", "policy", "evidence_total", "min_evidence")


def gate_record(gate: Gate) -> dict[str, Any]:
    """Return the record of *gate*; a skip has neither ``ok`` nor ``warn``: it is no pass."""
    data = gate.data
    record: dict[str, Any] = {
        "iter": gate.iter,
        "decision": gate.decision,
        "audit": _audit(data["audit"]) | _forecast(data.get("forecast")),
    }
    if gate.decision != "skip":
        record |= {"ok": gate.decision != "fail", "warn": gate.decision == "warn"}
    return record


def _audit(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return an audit as the files write it: a note for what JSON cannot hold."""
    worst = number(said["worst_DW"])
    distances = {name: number(value) for name, value in said["per_metric_tv"].items()}
    lost: dict[str, Any] = {}
    if isinstance(worst, str):
        lost["worst_DW"] = worst
    unmeasured = {name: value for name, value in distances.items() if isinstance(value, str)}
    if unmeasured:
        lost["per_metric_tv"] = unmeasured
    audit = {name: said[name] for name in _PLAIN} | {
        "eps_eff": number(said["eps_eff"]),
        "worst_DW": None if isinstance(worst, str) else worst,
        "per_metric_tv": {n: value for n, value in distances.items() if n not in unmeasured},
    }
    return audit | {"nonfinite": lost} if lost else audit


def _forecast(said: Mapping[str, Any] | None) -> dict[str, Any]:
    if said is None:
        return {}
    return {
        "driver": said["metric"],
        "view": said["view"],
        "z": number(said["z"]),
        "regime": said["regime"],
    }
