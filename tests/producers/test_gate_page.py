"""The forecasting gate does what docs/reference/gate.md says, whatever the run."""

import math
import random
from collections import Counter
from typing import Any

from gate_page import Event, Page
from gate_page_histogram import HistogramPage
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.gates import AnyPlan, ForecastPlan, Metric, Plan, View, open_gate


def run(plan: AnyPlan, events: list[Event], start: int = 0) -> list[dict[str, Any]]:
    gate = open_gate(plan, start=start)
    found = []
    for event in events:
        if event[0] == "observe":
            gate.observe(event[1], event[2])
        elif event[0] == "anchor":
            gate.anchor(event[1])
        else:
            check = gate.check(event[1])
            assert check is not None
            found.append(check.as_data())
    return found


NAMES = ("a", "b", "c", "stall")
ODD = [math.nan, math.inf, -math.inf, 2.0**63, -(2.0**63), math.nextafter(2.0**63, 0), -0.0, 5e-324]


def drawn_plan(draw: random.Random) -> ForecastPlan:
    interval, per_block, per_window = draw.randint(1, 2), draw.randint(1, 3), draw.randint(1, 4)
    names = draw.choice([("v",), ("v", "w"), ("z", "v", "w")])
    persistence = draw.choice([1, 1, 2, 3])
    ways = ["two_sided", "two_sided", "rise", "fall"]
    return ForecastPlan(
        preset="drawn",
        policy="forecast_z_max" if persistence == 1 else "forecast_z_persistence",
        window=interval * per_block * per_window,
        block=interval * per_block,
        metric_interval=interval,
        warmup=draw.choice([0, 10, 30]),
        reference=draw.randint(4, 6),
        views=tuple(
            View(name, draw.randint(1, 4), draw.randint(0, 3), draw.randint(3, 6)) for name in names
        ),
        min_errors=draw.randint(1, 3),
        metrics={**{name: draw.choice(ways) for name in "abc"}, "stall": "stall"},
        level=draw.choice([None, "a", "a", "b"]),
        level_from=draw.choice([0, 0, 20]),
        warn_z=draw.choice([0.0, 0.5, 1.5, 3.0]),
        fail_z=draw.choice([0.5, 2.0, 2.0, 5.0, 20.0]),
        persistence=persistence,
        hold=draw.choice([1, 2, 5]),
        min_evidence=draw.choice([0, 4, 30]),
    )


def drawn_run(draw: random.Random, plan: AnyPlan, start: int) -> list[Event]:
    """A run with steps, ties, gaps, repeats, odd values and declared changes."""
    coarse = draw.random() < 0.5  # few different values: ties and zero misses
    odd = draw.choice([0.0, 0.0, 0.002, 0.01])  # the rate of everything strange
    slope = draw.choice([-0.1, 0.0, 0.1])
    events: list[Event] = []
    shift = 0.0
    first = -(-start // plan.window) * plan.window
    for i in range(start, first + draw.randint(5, 40) * plan.window):
        if draw.random() < 0.02:
            shift = draw.choice([0.0, 3.0, -20.0])
        if draw.random() < odd:
            # Back to the window's beginning at most, and ahead to its end.
            window = i - (i - first) % plan.window
            at = min(max(window, i + draw.choice([0, 0, 0, -7, 5])), window + plan.window - 1)
            events.append(("anchor", max(at, start)))
        for _ in range(2 if draw.random() < odd else 1):
            noise = {
                name: draw.gauss(shift + slope * i, 1) for name in "abc" if draw.random() > odd
            }
            values = {name: float(round(x)) if coarse else x for name, x in noise.items()}
            values["stall"] = draw.choice([0.0, 1e-300]) if shift else 1.0
            if draw.random() < odd:
                values[draw.choice(NAMES)] = draw.choice(ODD)
            if draw.random() >= odd:
                events.append(("observe", i, values))
        if (i + 1 - first) % plan.window == 0 and i >= first:
            events.append(("check", i + 1))
    return events


def drawn(seed: int) -> tuple[ForecastPlan, list[Event], int]:
    draw = random.Random(seed)  # noqa: S311 - test data
    plan, start = drawn_plan(draw), draw.choice([0, 0, 0, 1, 9])
    return plan, drawn_run(draw, plan, start), start


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_every_check_of_every_run_is_the_pages(seed: int) -> None:
    plan, events, start = drawn(seed)
    assert run(plan, events, start) == list(Page(plan.as_data(), start).replay(events))


def test_the_runs_of_the_comparison_reach_every_reason_and_view() -> None:
    """Else the comparison would say little."""
    reasons, views, regimes = Counter[str](), Counter[str](), Counter[int]()
    for seed in range(120):
        plan, events, start = drawn(seed)
        for check in run(plan, events, start):
            reasons[check["audit"]["reason"]] += 1
            views[check["forecast"]["view"]] += 1
            regimes[check["forecast"]["regime"]] += 1
    assert reasons.keys() == {
        *("change_fail", "change_warn", "level_fail", "level_warn", "none_ok"),
        "metric_lost_warn",
        *("nonfinite_fail", "stalled_fail", "not_evaluated_warmup"),
        *("not_evaluated_insufficient_history", "not_evaluated_insufficient_evidence"),
    }
    assert min(reasons.values()) >= 10
    assert views.keys() == {"z", "v", "w", "level", None}
    assert len(regimes) >= 3


def drawn_histogram(seed: int) -> tuple[Plan, list[Event], int]:
    """A histogram plan, and a run of it; ``b`` is called loss."""
    draw = random.Random(seed)  # noqa: S311 - test data
    interval = draw.randint(1, 2)
    names = draw.choice([("a",), ("a", "loss"), ("a", "loss", "c")])
    plan = Plan(
        preset="drawn",
        policy=draw.choice(["persistence", "persistence_stability", "either", "conjunction"]),
        window=interval * draw.randint(1, 6),
        metric_interval=interval,
        warmup=draw.choice([0, 12]),
        bins=draw.randint(2, 6),
        metrics=tuple(Metric(m, -3.0, 4.0, draw.choice([0.1, 0.35, 2.0])) for m in names),
        epsilon=draw.choice([0.0, 0.25, 0.5, 0.7]),
        persistence=draw.randint(1, 3),
        min_evidence=draw.choice([1, 8]),
        gain=draw.choice([None, 0.0, 0.3, -0.3]),
        min_metrics_exceeding=draw.choice([None, 1, 2, 9]),
    )
    start = draw.choice([0, 0, 0, 5])
    events = [
        (kind, i, {"loss" if m == "b" else m: x for m, x in values[0].items()})
        if values
        else (kind, i)
        for kind, i, *values in drawn_run(draw, plan, start)
    ]
    return plan, events, start


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_every_check_of_every_histogram_run_is_the_pages(seed: int) -> None:
    plan, events, start = drawn_histogram(seed)
    assert run(plan, events, start) == list(HistogramPage(plan.as_data(), start).replay(events))


def test_the_runs_of_the_histogram_comparison_reach_every_reason() -> None:
    reasons = Counter(
        (plan.policy, check["audit"]["reason"])
        for plan, events, start in map(drawn_histogram, range(150))
        for check in run(plan, events, start)
    )
    for policy in ("persistence", "persistence_stability", "either", "conjunction"):
        said = {reason for name, reason in reasons if name == policy}
        always = {"pass", "fail", "warmup", "insufficient_evidence", "nonfinite_metric"}
        assert said - {"warn"} == always
        assert ("warn" in said) == (policy != "either")
