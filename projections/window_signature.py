"""``window_signature.json``: what two runs must have in common to be compared (seed 4B).

It is made of the gate's plan and nothing else: not of the model, the data, the
seed or the time. Numbers are written as their schema types them (``0`` for an
epsilon is ``0.0``), so that two plans of one meaning have one hash.
"""

import hashlib
from typing import Any

from projections.protocol import EntryLike
from projections.runs import RunCore, Runs, RunState, canonical, follow, place

FILE_NAME = "window_signature.json"


class WindowSignature:
    """The projection of ``window_signature.json``."""

    name = "window_signature"
    version = 1
    state_type = Runs[RunState]

    def initial(self) -> Runs[RunState]:
        """Return a state without runs."""
        return Runs()

    def apply(self, state: Runs[RunState], entry: EntryLike) -> Runs[RunState]:
        """Take note of what a run planned."""
        follow(state, entry, RunState)
        return state

    def render(self, state: Runs[RunState]) -> dict[str, bytes]:
        """Return one signature for each run."""
        return place(state, lambda run: {FILE_NAME: signature_bytes(run.core) + b"\n"})


def signature_bytes(core: RunCore) -> bytes:
    """Return the canonical JSON whose SHA-256 is the window signature hash."""
    return canonical(_signature(core))


def signature_ref(core: RunCore) -> dict[str, str]:
    """Return the ``window_signature_ref`` of the results files."""
    return {"hash": hashlib.sha256(signature_bytes(core)).hexdigest(), "path": FILE_NAME}


def _signature(core: RunCore) -> dict[str, Any]:
    plan = core.gate
    if plan is None:
        # A run that died before it had a plan: comparable with nothing, and it says so.
        return {
            "schema_version": 1,
            "placeholder": True,
            "reason": "the run recorded no plan",
            "run_kind": core.kind,
        }
    controls = gate_controls(plan)
    return {
        "schema_version": 1,
        "transport": {"name": "evidence_ledger_v1", "cadence": plan["metric_interval"]},
        "evidence": {
            "metrics": sorted(plan["ranges"]),
            "ranges": plan["ranges"],
            "weights": plan["weights"],
            "bins": plan["bins"],
            "window": {
                "kind": "iterations",
                "size": plan["window"],
                "stride": plan["metric_interval"],
            },
        },
        "gates": {"preset": plan["preset"], "params": {"epsilon": plan["epsilon"]}},
        "gate_controls": controls,
        "gate_controls_hash": hashlib.sha256(canonical(controls)).hexdigest(),
    }


def gate_controls(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the fixed object of the seed's 4B; a control that this gate does not have is null."""
    return {
        "gate_window": plan["window"],
        "gate_warmup_iters": plan["warmup"],
        "gate_epsilon": plan["epsilon"],
        "min_evidence": plan["min_evidence"],
        "policy": plan["policy"],
        "persistence_k": plan["persistence"],
        "min_metrics_exceeding": None,
        "eps_sens": None,
        "cap_frac": None,
    }
