"""A ledger of fifty entries that has everything in it: batches, key events, a run with gates."""

from pathlib import Path
from typing import Any

from forge import MALLORY, OWNER, REVIEWER, RUNNER, WRAPPER, signer

from ledger import Event, Ledger

SIZE = 50
RUN = "run/0192f0c0-0000-7000-8000-00000000c0de"
SHA = "5a" * 32
DECISIONS = ("skip", "skip", "pass", "warn", "fail")

ROLES = {
    "owner": ["*"],
    "wrapper": ["run.*"],
    "runner": ["run.*", "metric.*", "gate.*", "fault.*", "x.*"],
    "reviewer": ["governance.approved"],
    "writer": ["x.*"],
}
OPENED = {
    "kind": "gpt",
    "argv": ["python", "-m", "train"],
    "outdir": "runs/é",
    "runner_key": RUNNER.id,
    "package": {"name": "evidence-ledger", "version": "0.1.0"},
    "python": "3.11.7",
    "platform": "Linux",
    "git": {"sha": None, "dirty": None},
    "env": {"LANG": "C.UTF-8"},
    "env_capture": {
        "allowlist": ["LANG"],
        "deny_exact": [],
        "deny_regex": [],
        "redactions_applied": False,
    },
}
PLANNED = {
    "gate": {
        "preset": "default",
        "policy": "persistence",
        "window": 4,
        "metric_interval": 1,
        "warmup": 0,
        "bins": 2,
        "ranges": {"eff_dim": [0.0, 1.0]},
        "weights": {"eff_dim": 1.0},
        "epsilon": 0.25,
        "persistence": 2,
        "min_evidence": 2,
    },
    "max_iters": 20,
    "seed": 7,
    "model": {"layers": 2, "bias": True},
    "data": {"name": "topics", "sha256": SHA, "bytes": 10},
}


def gate(step: int, decision: str) -> dict[str, Any]:
    """What docs/reference/gate.md gives: all values low, and high from the fourth window on."""
    evaluated = decision != "skip"
    apart = 1.0 if decision in {"warn", "fail"} else 0.0
    return {
        "iter": step,
        "decision": decision,
        "audit": {
            "evaluated": evaluated,
            "reason": decision if evaluated else "insufficient_evidence",
            "policy": "persistence",
            "worst_DW": apart if evaluated else None,
            "eps_eff": 0.25 if evaluated else None,
            "per_metric_tv": {"eff_dim": apart} if evaluated else {},
            "evidence_total": 4 if evaluated else 0,
            "min_evidence": 2,
        },
        "evidence": {
            "eff_dim": {
                "reference": [4, 0] if evaluated else [0, 0],
                "recent": [0, 4] if apart else [4, 0],
            }
        },
    }


def metrics(first: int, count: int) -> list[Event]:
    """Values of the one bin for the first twelve iterations, of the other from then on."""
    return [
        Event(
            "metric.observed",
            RUN,
            {"iter": step, "values": {"eff_dim": step / 64 + step // 12 / 2}},
        )
        for step in range(first, first + count)
    ]


def write(path: Path) -> Path:
    """Write the ledger through the real writer, with three hands."""
    second = signer("runner-2")
    with Ledger.create(path, name="história", key=OWNER.key, roles=ROLES) as owner:
        owner.authorize(WRAPPER.public, name="wrapper", roles=["wrapper"])
        owner.authorize(RUNNER.public, name="runner", roles=["runner"])
        with (
            Ledger.open(path, key=WRAPPER.key) as wrapper,
            Ledger.open(path, key=RUNNER.key) as runner,
        ):
            wrapper.append(Event("run.opened", RUN, OPENED))
            runner.append(Event("run.planned", RUN, PLANNED))
            for step, decision in enumerate(DECISIONS):
                runner.append_batch(metrics(4 * step, 4))
                runner.append(Event("gate.checked", RUN, gate(4 * step + 4, decision)))
            owner.append_batch([Event("x.note", "", {"n": number}) for number in range(5)])
            fault = {"iter": 19, "kind": "random", "fraction": 0.5}
            runner.append(Event("fault.injected", RUN, fault))
            runner.append(Event("run.finished", RUN, {"iters": 20, "final_loss": 1.5}))
            closed = {"status": "success", "exit_code": 0, "signal": None, "wall_s": 2.5}
            wrapper.append(Event("run.closed", RUN, closed))
        owner.rotate(RUNNER.id, by=second.public, name="runner-2")
        owner.authorize(REVIEWER.public, name="reviewer", roles=["reviewer"])
        owner.authorize(MALLORY.public, name="mallory", roles=["writer"])
        owner.revoke(MALLORY.id, reason="left")
        with Ledger.open(path, key=second.key) as runner:
            runner.append_batch([Event("x.late", "", {"n": number}) for number in range(3)])
        owner.refresh()
        while owner.size < SIZE:
            owner.append(Event("x.end", "", {}))
    return path
