"""``window_signature.json``: what two runs must have in common to be compared (seed 4B).

It is made of the gate's plan and nothing else: not of the model, the data, the
seed, the injection or the time, and not of the preset's name. Numbers are written
as their schema types them (``0`` for an epsilon is ``0.0``), so that two plans of
one meaning have one hash. The content is docs/reference/capsule.md, section 3.
"""

import hashlib
from typing import Any

from projections.protocol import EntryLike
from projections.runs import RunCore, Runs, RunState, canonical, follow, place

FILE_NAME = "window_signature.json"
PACKAGE = "evidence-ledger"
HISTOGRAM = "histogram/1"


class WindowSignature:
    """The projection of ``window_signature.json``."""

    name = "window_signature"
    version = 2
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
    """Return the ``window_signature_ref`` of the other files."""
    return {"hash": hashlib.sha256(signature_bytes(core)).hexdigest(), "path": FILE_NAME}


def engine_of(plan: dict[str, Any]) -> str:
    """Return which rule a plan is for; a histogram plan does not say so itself."""
    return str(plan.get("engine", HISTOGRAM))


def gate_controls(plan: dict[str, Any]) -> dict[str, Any]:
    """Return all controls by the plan's own names, and by the seed's.

    A control of the seed that this gate does not have is ``null``. The preset's name
    is left out: it decides nothing, and the files name it elsewhere.
    """
    return {
        "min_metrics_exceeding": None,
        "eps_sens": None,
        "cap_frac": None,
        **{name: value for name, value in plan.items() if name != "preset"},
        "gate_window": plan["window"],
        "gate_warmup": plan["warmup"],
        "gate_warmup_iters": plan["warmup"],
        "persistence_k": plan["persistence"],
    }


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
    cadence = plan["metric_interval"]
    return {
        "schema_version": 1,
        "code_identity": {"package": PACKAGE, "gate_engine": engine_of(plan)},
        "transport": {"name": "evidence_ledger_v1", "cadence": cadence},
        "evidence": {
            "metrics": sorted(plan.get("ranges") or plan.get("metrics") or ()),
            "window": {"kind": "iterations", "size": plan["window"], "stride": cadence},
        },
        "gate_controls": controls,
        "gate_controls_hash": hashlib.sha256(canonical(controls)).hexdigest(),
    }
