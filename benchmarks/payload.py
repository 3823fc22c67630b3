"""The events that the benchmarks write: what a training gate says once an iteration.

With its header such an entry has about 600 bytes. Everything comes from a seed.
"""

import random
from collections.abc import Iterator
from typing import Any

from ledger import Event

SUBJECT = "run/0192f0c1-7e4b-7c3a-9d51-2f6b8e0a4c17"
KIND = "x.gate"
_WITHOUT_REFERENCE = 2  # windows, at the beginning of a run


def data_of(iteration: int, rng: random.Random) -> dict[str, Any]:
    """Return the payload of one iteration; its numbers have all their digits, as real ones do."""
    return {
        "iter": iteration,
        "decision": "pass" if rng.random() < 0.97 else "warn",
        "worst_dw": rng.random(),
        "tv": {"eff_dim": rng.random(), "var_out_k": rng.random()},
        "loss": 2 + rng.random(),
        "evidence": rng.randrange(16, 128),
        "reason": "within_epsilon",
    }


def event_batches(size: int, *, seed: int = 1) -> Iterator[list[Event]]:
    """Yield batches of *size* events, without end."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    first = 0
    while True:
        numbers = range(first, first + size)
        yield [Event(KIND, SUBJECT, data_of(number, rng)) for number in numbers]
        first += size


def gate_checked(iteration: int, rng: random.Random) -> dict[str, Any]:
    """Return a ``gate.checked`` payload, the event with the largest schema of our own."""
    tv = {"eff_dim": rng.random(), "var_out_k": rng.random()}
    counts = [rng.randrange(64) for _ in range(8)]
    return {
        "iter": iteration,
        "decision": "pass",
        "audit": {
            "evaluated": True,
            "reason": "within_epsilon",
            "policy": "persistence",
            "worst_DW": max(tv.values()),
            "eps_eff": 0.25,
            "per_metric_tv": tv,
            "evidence_total": 64,
            "min_evidence": 16,
        },
        "evidence": {"eff_dim": {"reference": counts, "recent": counts[::-1]}},
    }


Told = tuple[tuple[str, dict[str, Any]], ...]

OPENING: Told = (
    (
        "run.opened",
        {
            "kind": "gpt",
            "argv": ["train"],
            "outdir": "out",
            "runner_key": None,
            "package": {"name": "evidence-ledger", "version": "0"},
            "python": "3",
            "platform": "any",
            "git": {"sha": None, "dirty": None},
            "env": {},
            "env_capture": {
                "allowlist": [],
                "deny_exact": [],
                "deny_regex": [],
                "redactions_applied": True,
            },
        },
    ),
    (
        "run.planned",
        {
            "gate": {
                "preset": "bench",
                "policy": "persistence",
                "window": 1,
                "metric_interval": 1,
                "warmup": 0,
                "bins": 8,
                "ranges": {"eff_dim": [0.0, 64.0], "var_out_k": [0.0, 1.0]},
                "weights": {"eff_dim": 1.0, "var_out_k": 1.0},
                "epsilon": 0.25,
                "persistence": 2,
                "min_evidence": 2,
            },
            "max_iters": 10_000_000,
            "seed": 1,
            "model": {"n_layer": 2},
            "data": {"name": "bench", "sha256": "0" * 64, "bytes": 1},
        },
    ),
)
"""What a run records before its first gate check."""

CLOSING: Told = (
    ("run.closed", {"status": "success", "exit_code": 0, "signal": None, "wall_s": 1.0}),
)
"""What the wrapper records at its end."""


def run_of(events: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield so many events of a run that verifies: metrics and a gate check by turns.

    The window is one observation, and all of them are alike, so that what the gate gives is
    known: docs/reference/gate.md, section 4.
    """
    yield from OPENING
    body = events - len(OPENING) - len(CLOSING) - 1
    values = {"eff_dim": 31.270843521, "var_out_k": 0.6182339870, "loss": 2.718281828}
    if body % 2:  # an iteration that is observed again makes no window
        yield "metric.observed", {"iter": 0, "values": values}
    for iteration in range(body // 2):
        yield "metric.observed", {"iter": iteration, "values": values}
        yield "gate.checked", _check(iteration + 1)
    yield "run.finished", {"iters": body // 2, "final_loss": 1.5}
    yield from CLOSING


def _check(iteration: int) -> dict[str, Any]:
    skipped = iteration <= _WITHOUT_REFERENCE
    counts = {"eff_dim": [0, 0, 0, 1, 0, 0, 0, 0], "var_out_k": [0, 0, 0, 0, 1, 0, 0, 0]}
    return {
        "iter": iteration,
        "decision": "skip" if skipped else "pass",
        "audit": {
            "evaluated": not skipped,
            "reason": "insufficient_evidence" if skipped else "pass",
            "policy": "persistence",
            "worst_DW": None if skipped else 0.0,
            "eps_eff": None if skipped else 0.25,
            "per_metric_tv": {} if skipped else dict.fromkeys(counts, 0.0),
            "evidence_total": 0 if skipped else len(counts),
            "min_evidence": 2,
        },
        "evidence": {
            name: {"reference": [0] * 8 if skipped else of, "recent": of}
            for name, of in counts.items()
        },
    }
