"""verifier/gates.py and what it decides with, against docs/reference/gate.md and its numbers.

That the two engines give what the producers' give is tested in tests/property; here are the
numbers of a small gate worked out by hand, the findings, and the bounds.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.verifier.capsule import OPENED, PLANNED
from tests.verifier.gate_runs import (
    BY_HAND,
    FORECAST,
    FREE,
    HEX,
    UNIT,
    Event,
    by_hand,
    checks,
    honest,
    metric,
    planned,
    told,
    written,
)
from verifier.forecast import Forecast
from verifier.gates import Recount, Referee
from verifier.histogram import Histogram
from verifier.plan import plan_faults
from verifier.quantum import quantum
from verifier.run import verify_path

# -- numbers worked out by hand


def test_a_value_becomes_the_nearest_integer_and_ties_go_to_the_even_one() -> None:
    assert [quantum(v * UNIT) for v in (1, 0.5, 1.5, 2.5, -0.5, 0.5000001)] == [1, 0, 2, 2, 0, 1]
    assert quantum(3) == 3 << 20
    assert quantum(math.nextafter(2.0**63, 0)) == int(math.nextafter(2.0**63, 0)) << 20
    assert [quantum(v) for v in (2.0**63, -(2.0**63), 1e308, "NaN", "Infinity", None)] == [None] * 6


def test_a_forecast_worked_out_by_hand() -> None:
    """Reference 1..4 = 2, 0, 2, 3: forecast 3, miss 10, noise 17/12, v = 17/12 * 2.5 = 85/24."""
    fail = checks(by_hand(*BY_HAND))[5]
    z = math.sqrt(100 / (85 / 24))
    assert (fail["decision"], fail["audit"]["reason"]) == ("fail", "change_fail")
    assert fail["forecast"]["z"] == pytest.approx(z, rel=1e-15)
    assert (fail["forecast"]["metric"], fail["forecast"]["view"]) == ("loss", "last")
    assert (fail["forecast"]["history"], fail["forecast"]["held"]) == (5, 0)
    assert (fail["audit"]["worst_DW"], fail["audit"]["eps_eff"]) == (1.0, 1.0)
    assert fail["audit"]["evidence_total"] == 1


def test_what_failed_is_taken_out_of_the_history() -> None:
    """Reference 1..4 again, two blocks ahead: forecast 3.5, miss 0.5, v = 17/12 * 3.7."""
    after = checks(by_hand(*BY_HAND))[6]
    assert (after["decision"], after["audit"]["reason"]) == ("pass", "none_ok")
    assert after["forecast"]["z"] == pytest.approx(math.sqrt(0.25 * 12 / (17 * 3.7)), rel=1e-15)
    assert (after["forecast"]["history"], after["forecast"]["held"]) == (5, 1)


def test_before_there_is_a_past_miss_there_is_no_score() -> None:
    reasons = [check["audit"]["reason"] for check in checks(by_hand(*BY_HAND))[:5]]
    assert reasons == ["not_evaluated_insufficient_history"] * 5


def test_held_failures_begin_the_history_anew() -> None:
    told_forecasts = [c["forecast"] for c in checks(by_hand(*BY_HAND[:5], 13, 900, 9000, 1))]
    assert [f["held"] for f in told_forecasts[5:]] == [0, 1, 2, 0]
    assert [f["regime"] for f in told_forecasts[5:]] == [0, 0, 0, 1]
    assert [f["history"] for f in told_forecasts[5:]] == [5, 5, 5, 0]


# -- honest runs, and each member changed


@pytest.fixture
def events() -> list[Event]:
    return by_hand(*BY_HAND)


def test_an_honest_run_is_decided_again_in_full(events: list[Event]) -> None:
    finish = ("run.finished", {"iters": 7, "final_loss": None})
    story, found, _ = told([*events, finish])
    assert found == []
    assert story.recount() == Recount(checked=7, decided=7)
    assert story.replays()[0].recount == Recount(checked=7, decided=7)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("decision", "pass"),
        ("audit.evaluated", False),
        ("audit.reason", "level_fail"),
        ("audit.policy", "mine"),
        ("audit.worst_DW", math.nextafter(1.0, 0)),
        ("audit.worst_DW", None),
        ("audit.eps_eff", math.nextafter(1.0, 0)),
        ("audit.per_metric_tv.loss", math.nextafter(1.0, 0)),
        ("audit.per_metric_tv.other", 0.0),
        ("audit.evidence_total", 2),
        ("audit.min_evidence", 0),
        ("evidence.loss", {"reference": [1], "recent": [1]}),
        ("forecast.metric", None),
        ("forecast.view", "level"),
        ("forecast.z", 5.313689310235948),
        ("forecast.scores.loss", {"view": "last", "z": 5.0}),
        ("forecast.scores.other", {"view": "last", "z": 0.0}),
        ("forecast.regime", 1),
        ("forecast.held", 1),
        ("forecast.history", 6),
        ("forecast", None),
    ],
)
def test_each_member_of_a_check_is_compared(events: list[Event], place: str, value: object) -> None:
    inside = check = checks(events)[5]
    *way, name = place.split(".")
    for step in way:
        inside = inside[step]
    assert inside.get(name, "absent") != value
    inside[name] = value
    _, found, message = told(events)
    assert found == [("gate.decision", events.index(("gate.checked", check)))]
    assert f"{place}" in message
    assert "expected" in message
    assert "found" in message


def test_a_number_may_be_written_either_way(events: list[Event]) -> None:
    checks(events)[5]["audit"]["worst_DW"] = 1
    assert told(events)[1] == []


def test_a_histogram_check_is_compared_down_to_its_counts() -> None:
    gate = PLANNED["gate"]
    windows = [[metric(at * 10, loss=loss)] for at, loss in enumerate((0.2, 0.2, 0.2, 0.7, 0.7))]
    events = honest(gate, *windows)
    assert [check["decision"] for check in checks(events)] == [
        "skip", "skip", "pass", "warn", "fail",
    ]  # fmt: skip
    assert told(events)[1] == []
    checks(events)[3]["evidence"]["loss"]["recent"][0] = 1
    _, found, message = told(events)
    assert found == [("gate.decision", 9)]
    assert "evidence.loss.recent.0: expected 0, found 1" in message


def test_a_window_that_was_not_finite_counts_as_one_that_exceeded() -> None:
    losses: tuple[float | str, ...] = (0.2, 0.2, 0.2, "NaN", 0.7)
    events = honest(PLANNED["gate"], *([metric(n * 10, loss=x)] for n, x in enumerate(losses)))
    reasons = [check["audit"]["reason"] for check in checks(events)]
    assert reasons[2:] == ["pass", "nonfinite_metric", "fail"]
    assert checks(events)[3]["audit"]["per_metric_tv"] == {"loss": "NaN"}
    assert told(events)[1] == []


def test_a_histogram_check_has_no_forecast() -> None:
    events = honest(PLANNED["gate"], [metric(0, loss=0.2)])
    check = checks(events)[0]
    del check["forecast"]
    assert told(events)[1] == []
    check["forecast"] = checks(by_hand(1))[0]["forecast"]
    assert told(events)[1] == [("gate.decision", 3)]


# -- windows


def test_a_check_that_was_left_out_is_missed_at_the_next_observation(events: list[Event]) -> None:
    del events[7]  # the check at 3
    story, found, message = told(events)
    assert found == [("gate.missing", 7)]
    assert "iteration 3 is reached without the check at iter 3" in message
    assert story.recount() == Recount(checked=6, decided=6)


def test_a_check_is_also_missed_at_the_next_check_and_at_an_anchor(events: list[Event]) -> None:
    anchor = ("gate.anchored", {"iter": 3, "reason": "other data"})
    assert told([*events[:7], events[9]])[1] == [("gate.decision", 7), ("gate.missing", 7)]
    assert told([*events[:7], anchor])[1] == [("gate.missing", 7)]


@pytest.mark.parametrize("iters", [0, 6, 7])
def test_the_end_of_the_run_needs_its_check_whatever_iters_it_admits(
    events: list[Event], iters: int
) -> None:
    """Iteration 6 was observed; a runner that says that it did fewer hides its last window."""
    del events[-1]
    finished = ("run.finished", {"iters": iters, "final_loss": None})
    assert told([*events, finished])[1] == [("gate.missing", 15)]


@pytest.mark.parametrize(
    ("status", "missing"), [("success", [("gate.missing", 15)]), ("user_code_failure", [])]
)
def test_a_run_that_ended_well_came_to_its_end_and_a_killed_one_did_not(
    events: list[Event], status: str, missing: list[tuple[str, int]]
) -> None:
    del events[-1]
    closed = {"status": status, "exit_code": 0, "signal": None, "wall_s": 1.0}
    assert told([*events, ("run.closed", closed)])[1] == missing


def test_a_metric_that_is_no_longer_observed_is_no_pass() -> None:
    plan = {**FORECAST, "metrics": {"loss": "rise", "act": "two_sided"}}
    both = [[metric(i, loss=0.25, act=0.5)] for i in range(12)]
    one = [[metric(i, loss=0.25)] for i in range(12, 14)]
    said = [(c["decision"], c["audit"]["reason"]) for c in checks(honest(plan, *both, *one))]
    assert said[11:] == [("pass", "none_ok"), *[("warn", "metric_lost_warn")] * 2]


def test_a_metric_of_the_plan_that_nobody_observed_is_named(tmp_path: Path) -> None:
    plan = {**FORECAST, "metrics": {"loss": "rise", "act": "two_sided"}}
    events = honest(plan, *[[metric(i, loss=0.25)] for i in range(3)])
    text = verify_path(written(tmp_path, events), FREE).to_text()
    assert "gates recomputed: 3 of 3; never observed, so not gated: act" in text


def test_a_check_where_no_window_ends_is_refused() -> None:
    events = honest(PLANNED["gate"], [metric(0, loss=0.2)], [metric(10, loss=0.2)])
    checks(events)[0]["iter"] = 7
    story, found, message = told(events)
    assert found == [("gate.decision", 3), ("gate.missing", 4)]
    assert "expected 10, the end of the window that is due, found 7" in message
    assert story.recount() == Recount(checked=2, decided=1)


def test_a_resumed_run_begins_with_the_first_window_behind_it() -> None:
    gate, start = PLANNED["gate"], 15
    resumed = {"from_run": "r0", "iter": start, "sha256": HEX, "head_size": 1, "head_hash": HEX}
    engine = Histogram(gate)
    engine.observe(20, {"loss": 0.25})
    check = json.loads(json.dumps(engine.decide(30)))
    events = [
        ("run.opened", OPENED), planned(gate), ("run.resumed", resumed),
        metric(15, loss="NaN"), metric(20, loss=0.25), ("gate.checked", check),
    ]  # fmt: skip
    assert told(events)[1] == []
    del events[-1]
    assert told([*events, metric(30)])[1] == [("gate.missing", 5)]


def test_what_is_refused_for_its_place_is_not_used(events: list[Event]) -> None:
    late = metric(2, loss="NaN")
    assert told([*events[:8], late, *events[8:]])[1] == [("event.order", 8)]


def test_a_declared_change_is_counted_and_shown(tmp_path: Path) -> None:
    anchor = ("gate.anchored", {"iter": 5, "reason": "other data"})
    windows = [[metric(at, loss=v * UNIT)] for at, v in enumerate(BY_HAND)]
    windows[5].insert(0, anchor)
    events = honest(FORECAST, *windows)
    assert [c["forecast"]["regime"] for c in checks(events)] == [0] * 5 + [1, 1]
    assert [c["forecast"]["history"] for c in checks(events)] == [0, 1, 2, 3, 4, 0, 1]
    story, found, _ = told(events)
    assert found == []
    assert story.recount() == Recount(checked=7, decided=7, anchors=1)
    text = verify_path(written(tmp_path, events), FREE).to_text()
    assert (
        "gates recomputed: 7 of 7, from the plans and the metrics on record; 1 change was" in text
    )


# -- bounds


def test_a_huge_window_costs_no_more_than_its_observations() -> None:
    gate = {**FORECAST, "window": 2**53 - 256, "block": (2**53 - 256) // 256}
    assert plan_faults({"gate": gate}, None, {}) == []
    events = [metric(at * 2**40, loss=1.0, **{f"x{n}": 1.0 for n in range(99)}) for at in range(99)]
    assert told([("run.opened", OPENED), planned(gate), *events])[1] == []


@pytest.mark.parametrize("ahead", [65, 2**52])
def test_a_run_that_passes_over_many_windows_is_not_followed_further(ahead: int) -> None:
    events = by_hand(*BY_HAND)
    late = ("gate.checked", {**events[-1][1], "iter": 7 + ahead + 1})
    story, found, message = told([*events, metric(7 + ahead, loss=1.0), late])
    assert found == [("gate.missing", 16)]
    assert f"without {ahead} checks from iter 8 on" in message
    assert story.recount() == Recount(checked=8, decided=7)


def test_what_lies_far_ahead_is_followed_no_further() -> None:
    referee = Referee(FORECAST)
    ahead = {"iter": 2**40}
    (fault,) = referee.follow("gate.anchored", ahead)
    assert fault.code == "gate.missing"
    assert referee.follow("gate.anchored", ahead) == []
    referee = Referee(FORECAST)
    (fault,) = referee.follow("gate.checked", ahead)
    assert (fault.code, referee.decided) == ("gate.missing", 0)


def test_an_observation_between_the_intervals_is_not_used() -> None:
    events = honest(PLANNED["gate"], [metric(0, loss=0.2)])
    events.insert(3, metric(7, loss="NaN"))
    assert told(events)[1] == []


def test_many_gaps_add_up() -> None:
    referee = Referee(FORECAST)
    messages = [
        fault
        for step in range(64, 64 * 70, 64)
        for fault in referee.follow("metric.observed", metric(step, loss=0.0)[1])
    ]
    assert len(messages) == 65


@pytest.mark.parametrize("value", [1e308, -1e308, 2.0**63, 2**53 - 1, 5e-324, -0.0])
def test_no_value_is_too_large_or_too_small(value: float) -> None:
    gate = {**FORECAST, "warn_z": 1e308, "fail_z": 5e-324, "metrics": {"loss": "two_sided"}}
    wild = [value, 0.0, -value, value, value, 0.0, value / 3, value, -value, 1.0]
    events = honest(gate, *([metric(at, loss=v)] for at, v in enumerate(wild)))
    assert told(events)[1] == []


def test_a_long_run_keeps_no_more_than_its_views_reach() -> None:
    engine = Forecast({**FORECAST, "warn_z": 1e9, "fail_z": 1e9})
    for step in range(500):
        engine.observe(step, {"loss": step % 7})
        said: Any = engine.decide(step + 1)
    assert said["forecast"]["history"] == 499
    assert len(engine._history.last()) == 4
    assert len(engine._history._blocks) <= 5
    assert len(engine._misses[0][0]) <= 3
