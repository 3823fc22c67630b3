"""``window_signature.json`` a second time: what two runs must share to be compared (seed 4B).

It follows from the gate's plan alone, down to the byte, so no hostile file has
to be parsed: the bytes are made again and compared.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Plan", "signature_bytes", "signature_hash"]


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


def _unplanned(kind: str | None) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "placeholder": True,
        "reason": "the run recorded no plan",
        "run_kind": kind,
    }


def _planned(gate: Mapping[str, Any]) -> dict[str, Any]:
    # Numbers count as their schema types them: an epsilon of 0 is 0.0, whichever was written.
    epsilon = float(gate["epsilon"])
    ranges = {name: [float(end) for end in ends] for name, ends in gate["ranges"].items()}
    controls = {
        "gate_window": gate["window"],
        "gate_warmup_iters": gate["warmup"],
        "gate_epsilon": epsilon,
        "min_evidence": gate["min_evidence"],
        "policy": gate["policy"],
        "persistence_k": gate["persistence"],
        **dict.fromkeys(("min_metrics_exceeding", "eps_sens", "cap_frac")),
    }
    window = {"kind": "iterations", "size": gate["window"], "stride": gate["metric_interval"]}
    return {
        "schema_version": 1,
        "transport": {"name": "evidence_ledger_v1", "cadence": gate["metric_interval"]},
        "evidence": {
            "metrics": sorted(ranges),
            "ranges": ranges,
            "weights": {name: float(weight) for name, weight in gate["weights"].items()},
            "bins": gate["bins"],
            "window": window,
        },
        "gates": {"preset": gate["preset"], "params": {"epsilon": epsilon}},
        "gate_controls": controls,
        "gate_controls_hash": hashlib.sha256(_canonical(controls)).hexdigest(),
    }


def _canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()
