"""The events that the benchmarks write: what a training gate says once an iteration.

With its header such an entry has about 600 bytes. Everything comes from a seed.
"""

import random
from collections.abc import Iterator
from typing import Any

from ledger import Event

SUBJECT = "run/0192f0c1-7e4b-7c3a-9d51-2f6b8e0a4c17"
KIND = "x.gate"


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
