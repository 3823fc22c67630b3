"""The gate of the producers and the verifier's own: two hands, one page, the same bytes.

Random plans and random streams, with everything that a page can be misread about: values that
are missing, doubled, not finite or enormous, windows that fail in a row, declared changes, runs
that resume. What the one records, the other must find nothing to say about.
"""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from producers.gates import open_gate, plan_from_data
from verifier.gates import Referee
from verifier.plan import plan_faults

Plan = dict[str, Any]
NAMES = ("act", "b", "loss", "\u00e9")
DIRECTIONS = ("two_sided", "rise", "fall")
WILD: tuple[float | str, ...] = (
    "NaN", "Infinity", "-Infinity", 1e308, -(2.0**63), 2**53 - 1, 5e-324, -0.0,
)  # fmt: skip
FORECASTS = 120
HISTOGRAMS = 80


def forecast_plan(rng: random.Random) -> Plan:
    interval, size, blocks = rng.choice([1, 2, 5]), rng.choice([1, 2, 4]), rng.choice([1, 2, 4])
    window = interval * size * blocks
    metrics = {name: rng.choice(DIRECTIONS) for name in rng.sample(NAMES, rng.randint(1, 4))}
    level = rng.choice([None, rng.choice(sorted(metrics))])
    if rng.random() < 0.6:
        metrics["update"] = "stall"
    policy = rng.choice(["forecast_z_max", "forecast_z_persistence"])
    views = [
        {
            "name": name,
            "blocks": rng.randint(1, 5),
            "gap": rng.randint(0, 4),
            "errors": rng.randint(2, 9),
        }
        for name in rng.sample(["window", "lagged", "last"], rng.randint(1, 3))
    ]
    return {
        "preset": "random",
        "policy": policy,
        "engine": "forecast_z/1",
        "window": window,
        "block": interval * size,
        "metric_interval": interval,
        "warmup": rng.choice([0, 3 * window]),
        "reference": rng.randint(4, 8),
        "views": views,
        "min_errors": rng.randint(1, 2),
        "metrics": metrics,
        "level": level,
        "level_from": rng.choice([0, 2 * window]),
        "warn_z": rng.choice([0.0, 0.5, 2.0, 5.0]),
        "fail_z": rng.choice([1.0, 2.5, 3.0, 6.0, 0.1]),
        "persistence": 1 if policy == "forecast_z_max" else rng.randint(1, 3),
        "hold": rng.randint(1, 4),
        "min_evidence": rng.choice([0, 1, size * blocks * len(metrics)]),
    }


def histogram_plan(rng: random.Random) -> Plan:
    interval, samples = rng.choice([1, 2, 5]), rng.choice([1, 3, 8])
    names = rng.sample(NAMES, rng.randint(1, 4))
    return {
        "preset": "random",
        "policy": rng.choice(["persistence", "persistence_stability", "either", "conjunction"]),
        "window": interval * samples,
        "metric_interval": interval,
        "warmup": rng.choice([0, 4 * interval * samples]),
        "bins": rng.choice([2, 3, 20]),
        "ranges": {name: rng.choice([[0.0, 1.0], [-0.1, 2.7], [1.0, 64.0]]) for name in names},
        "weights": {name: rng.choice([0.1, 1.0, 0.35]) for name in names},
        "epsilon": rng.choice([0.0, 0.13, 0.5, 1.0]),
        "persistence": rng.randint(1, 3),
        "min_evidence": rng.choice([1, samples, 2 * samples]),
        "gain": rng.choice([None, None, 0.0, 0.01, -0.1]),
        "min_metrics_exceeding": rng.choice([None, 1, 2, 9]),
    }


class Stream:
    """A signal with drifts, steps, stillness and holes."""

    def __init__(self, rng: random.Random, names: list[str]) -> None:
        self.rng = rng
        self.names = names
        self.noise = rng.choice([0.0, 1e-7, 0.01, 1.0])
        self.drift = rng.choice([0.0, 0.001, -0.01])
        self.holes = rng.choice([0.0, 0.0, 0.02])
        self.step = 0.0
        self.still = 0

    def at(self, iteration: int) -> dict[str, float | str]:
        if self.rng.random() < 0.01:
            self.step += self.rng.choice([0.5, -0.5, 1e6])
        if self.rng.random() < 0.01:
            self.still = iteration + 40
        return {name: self.value(name, iteration) for name in self.names if self.kept()}

    def kept(self) -> bool:
        return self.rng.random() >= self.holes

    def value(self, name: str, iteration: int) -> float | str:
        if self.rng.random() < self.holes / 4:
            return self.rng.choice(WILD)
        if name == "update":
            return 0.0 if iteration < self.still else 0.25
        return self.step + self.drift * iteration + self.noise * self.rng.gauss(0, 1)


def told(rng: random.Random, plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """A run as the producers' gate records it."""
    start = rng.choice([0, 0, 7, plan["window"], 3 * plan["window"] + 1])
    gate = open_gate(plan_from_data(plan), start=start)
    if start:
        yield "run.resumed", {"iter": start}
    metrics = plan["metrics"] if "engine" in plan else plan["ranges"]
    names = sorted({*metrics, "loss", "stranger"})
    stream, anchors = Stream(rng, names), rng.random() < 0.3
    total = start + 40 * plan["window"] + rng.randrange(plan["window"])
    for iteration in range(start, total):
        if anchors and rng.random() < 0.5 / plan["window"]:
            gate.anchor(iteration)
            yield "gate.anchored", {"iter": iteration, "reason": "test"}
        if rng.random() >= stream.holes / 4 and (gate.wants(iteration) or rng.random() < 0.1):
            yield from observed(gate.observe, iteration, stream.at(iteration))
            if rng.random() < stream.holes:
                yield from observed(gate.observe, iteration, stream.at(iteration))
        check = gate.check(iteration + 1)
        if check is not None:
            yield "gate.checked", json.loads(json.dumps(check.as_data()))
    yield "run.finished", {"iters": total}


def observed(
    observe: Callable[[int, dict[str, float]], None], iteration: int, values: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    observe(iteration, {name: float(value) for name, value in values.items()})
    yield "metric.observed", {"iter": iteration, "values": values}


def recounted(plan: Plan, seed: int) -> list[dict[str, Any]]:
    """Let the verifier follow a run that the producers' gate recorded; return its checks."""
    rng = random.Random(seed)  # noqa: S311 - a reproducible stream
    assert plan_faults({"gate": plan}, None, {}) == []
    referee = Referee(plan)
    checks: list[dict[str, Any]] = []
    for kind, data in told(rng, plan):
        assert referee.follow(kind, data) == [], (seed, len(checks))
        if kind == "gate.checked":
            checks.append(data)
    assert referee.decided == len(checks) >= 38
    return checks


@pytest.mark.parametrize("seed", range(FORECASTS))
def test_the_forecasting_gates_agree(seed: int) -> None:
    recounted(forecast_plan(random.Random(seed)), seed)  # noqa: S311 - as above


@pytest.mark.parametrize("seed", range(HISTOGRAMS))
def test_the_histogram_gates_agree(seed: int) -> None:
    recounted(histogram_plan(random.Random(seed)), seed)  # noqa: S311 - as above


def test_the_streams_reach_every_way_to_decide() -> None:
    """Else the agreement above would be an agreement on little."""
    reasons: set[str] = set()
    views: set[str] = set()
    deepest = 0
    for seed in range(FORECASTS):
        for check in recounted(forecast_plan(random.Random(seed)), seed):  # noqa: S311 - as above
            reasons.add(check["audit"]["reason"])
            views.add(str(check["forecast"]["view"]))
            deepest = max(deepest, check["forecast"]["regime"])
    for seed in range(HISTOGRAMS):
        plan = histogram_plan(random.Random(seed))  # noqa: S311 - as above
        reasons.update(check["audit"]["reason"] for check in recounted(plan, seed))
    assert reasons == {
        "nonfinite_fail", "not_evaluated_warmup", "stalled_fail", "none_ok",
        "not_evaluated_insufficient_history", "not_evaluated_insufficient_evidence",
        "level_fail", "level_warn", "change_fail", "change_warn", "metric_lost_warn",
        "nonfinite_metric", "warmup", "insufficient_evidence", "pass", "warn", "fail",
    }  # fmt: skip
    assert views == {"None", "window", "lagged", "last", "level"}
    assert deepest > 3
