"""The forecasting gate, by hand: small runs whose numbers can be followed on paper."""

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from producers.gates import (
    Check,
    Forecast,
    ForecastGate,
    ForecastPlan,
    Score,
    View,
    open_gate,
    preset,
)
from producers.gates.blocks import SCALE

QUANTUM = 2.0**-20

# One iteration is one block, two make a window; a line through four forecasts the next two.
PAPER = ForecastPlan(
    preset="paper",
    window=2,
    block=1,
    warmup=0,
    reference=4,
    views=(View("window", 2, 0, 8),),
    min_errors=1,
    metrics={"a": "two_sided"},
    warn_z=5.0,
    fail_z=6.0,
    min_evidence=1,
)


def run(plan: ForecastPlan, values: list[Any], anchors: tuple[int, ...] = ()) -> list[Check]:
    """Return the checks of a run of one value (of ``a``) or row of values per iteration."""
    gate, found = open_gate(plan), []
    for i, value in enumerate(values):
        if i in anchors:
            gate.anchor(i)
        gate.observe(i, value if isinstance(value, dict) else {"a": value})
        check = gate.check(i + 1)
        if check is not None:
            found.append(check)
    return found


def said(checks: list[Check]) -> list[str]:
    return [check.reason for check in checks]


def forecast(check: Check) -> Forecast:
    assert check.forecast is not None
    return check.forecast


def driver(check: Check) -> Score:
    score = forecast(check).driver
    assert score is not None
    return score


def test_a_score_by_hand() -> None:
    """Blocks 0 2 0 2 …, then 9 9: the line through 0 2 0 2 is read at 2.2.

    Weights -.65 -.05 .55 1.15, so e = 6.8; every second difference is 4, so
    sigma^2 = 16/6 and v_t = 16/6 (1/2 + 2.05) = 6.8; the misses before were 1.2.
    """
    check = run(PAPER, [0.0, 2.0] * 4 + [9.0, 9.0])[-1]
    assert (check.iter, check.decision, check.reason) == (10, "pass", "none_ok")
    assert forecast(check).as_data() == {
        "metric": "a",
        "view": "window",
        "z": math.sqrt(6.8),
        "scores": {"a": {"view": "window", "z": math.sqrt(6.8)}},
        "regime": 0,
        "held": 0,
        "history": 8,
    }
    # One value a block: nothing varies within it, so any distance is all of it.
    assert (check.worst_dw, check.eps_eff, check.per_metric_tv) == (1.0, 1.0, {"a": 1.0})
    assert check.evidence_total == 2


def test_what_was_missed_before_is_held_against_a_miss() -> None:
    """The reference is straight again, but the last eight misses hold one of a kink, at 13."""
    kinked = [0.0] * 8 + [10.0] * 12 + [40.0] * 2
    check = run(replace(PAPER, fail_z=1e9), kinked)[-1]
    v_p = sum(e * e for e in _misses(kinked, range(13, 21))) / 8
    assert v_p == Fraction(-13, 2) ** 2 / 8  # 10 - (10 + .65 * 10)
    assert driver(check).z == math.sqrt(900 / v_p)


def _misses(y: list[float], positions: range) -> list[Fraction]:
    line = [Fraction(n, 20) for n in (-13, -1, 11, 23)]
    return [
        Fraction(y[k - 2] + y[k - 1]) / 2
        - sum(a * Fraction(v) for a, v in zip(line, y[k - 6 : k - 2], strict=True))
        for k in positions
    ]


@pytest.mark.parametrize(
    ("quanta", "reason"),
    [(5, "none_ok"), (-5, "none_ok"), (6, "change_warn"), (-6, "change_warn"), (7, "change_fail")],
)
def test_a_path_without_any_noise_is_judged_in_quanta(quanta: int, reason: str) -> None:
    """The variance is at least one quantum squared, and a threshold that is met is not exceeded."""
    check = run(PAPER, [0.0] * 10 + [quanta * QUANTUM] * 2)[-1]
    assert (check.reason, driver(check).z) == (reason, abs(quanta))


@pytest.mark.parametrize(
    ("way", "up", "down"),
    [
        ("two_sided", "change_fail", "change_fail"),
        ("rise", "change_fail", "none_ok"),
        ("fall", "none_ok", "change_fail"),
    ],
)
def test_what_counts_against_a_metric(way: Any, up: str, down: str) -> None:
    plan = replace(PAPER, metrics={"a": way})
    assert said(run(plan, [1.0] * 10 + [2.0] * 2))[-1] == up
    assert said(run(plan, [1.0] * 10 + [0.0] * 2))[-1] == down


def test_the_distance_is_the_misss_share_of_miss_and_noise() -> None:
    """Blocks of (0, 2): s^2 = 2 within each. A window of (4, 6): tv = 16 / (16 + 2 (2 + 2))."""
    plan = replace(PAPER, window=4, block=2, fail_z=3.0, warn_z=2.0)
    check = run(plan, [0.0, 2.0] * 10 + [4.0, 6.0] * 2)[-1]
    assert (check.worst_dw, check.decision) == (2 / 3, "fail")
    # At the threshold only 3 quanta are missed: v is 1.
    square = Fraction(9, SCALE**2)
    assert check.eps_eff == float(square / (square + 8))
    quiet = run(plan, [0.0, 2.0] * 12)[-1]
    square = Fraction(4, SCALE**2)
    assert (quiet.worst_dw, quiet.eps_eff) == (0.0, float(square / (square + 8)))


def test_a_threshold_of_0_has_no_distance() -> None:
    check = run(replace(PAPER, warn_z=0.0), [0.0] * 12)[-1]
    assert (check.reason, check.worst_dw, check.eps_eff) == ("none_ok", 0.0, 0.0)


def test_a_lasting_fault_keeps_failing_until_it_has_become_the_run() -> None:
    """Failed windows are taken out; after ``hold`` of them the history is begun anew."""
    plan = replace(PAPER, hold=3)
    checks = run(plan, [0.0] * 10 + [9.0] * 20)
    scored = [c for c in checks if c.iter >= 8]
    assert said(scored) == [
        *["none_ok"] * 2,
        *["change_fail"] * 3,
        *["not_evaluated_insufficient_history"] * 3,
        *["none_ok"] * 4,
    ]
    state = [(forecast(c).regime, forecast(c).held, forecast(c).history) for c in scored]
    assert state == [
        *[(0, 0, 6), (0, 0, 8), (0, 0, 10), (0, 1, 10), (0, 2, 10)],
        *[(1, 0, 0), (1, 0, 2), (1, 0, 4), (1, 0, 6), (1, 0, 8), (1, 0, 10), (1, 0, 12)],
    ]


def test_one_window_that_does_not_fail_ends_the_count_of_failed_ones() -> None:
    plan = replace(PAPER, hold=2, reference=6)
    checks = run(plan, [0.0] * 16 + [9.0, 9.0, *[0.0] * 6] * 3)
    assert said(checks)[-12:] == ["change_fail", *["none_ok"] * 3] * 3
    assert {forecast(c).regime for c in checks} == {0}


def test_a_hole_where_a_window_failed_is_bridged_by_the_line() -> None:
    """A steady climb: the reference around the hole still forecasts it exactly."""
    climb = [0.5 * i for i in range(40)]
    climb[14:16] = [99.0, 99.0]
    checks = run(replace(PAPER, reference=6), climb)
    assert said(checks)[5:] == ["none_ok"] * 2 + ["change_fail"] + ["none_ok"] * 12
    assert [driver(c).z for c in checks[8:]] == [0.0] * 12


def test_where_holes_leave_no_three_neighbours_there_is_no_noise_and_no_score() -> None:
    climb = [0.5 * i for i in range(40)]
    climb[14:16] = [99.0, 99.0]
    told = said(run(PAPER, climb))
    # Two blocks before the hole and two after it; nothing to take second differences of.
    assert told[7:11] == ["change_fail", "none_ok", "not_evaluated_insufficient_history", "none_ok"]


def test_a_declared_change_is_no_fault() -> None:
    values = [0.0] * 10 + [9.0] * 10
    assert said(run(PAPER, values))[5] == "change_fail"
    checks = run(PAPER, values, anchors=(10,))
    assert said(checks)[5:] == ["not_evaluated_insufficient_history"] * 3 + ["none_ok"] * 2
    assert [(forecast(c).regime, forecast(c).history) for c in checks[4:]] == [
        (0, 8), (1, 0), (1, 2), (1, 4), (1, 6), (1, 8),
    ]  # fmt: skip


def test_of_a_window_in_which_a_change_was_declared_the_end_is_kept() -> None:
    checks = run(PAPER, [0.0] * 11 + [9.0] * 9, anchors=(11,))
    assert [forecast(c).history for c in checks[5:]] == [0, 1, 3, 5, 7]
    assert said(checks)[-1] == "none_ok"


def test_the_level_view_remembers_the_best_window() -> None:
    """A rise slow enough for the line to follow is still one from the best window."""
    plan = replace(PAPER, metrics={"a": "rise"}, level="a")
    slow = [1.0] * 10 + [1.0 + 2e-6 * i for i in range(40)]
    assert "change_fail" not in said(run(replace(plan, level=None), slow))
    checks = run(plan, slow)
    assert said(checks)[-1] == "level_fail"
    assert driver(checks[-1]).view == "level"


def test_the_level_view_forgets_what_was_before_level_from_and_before_an_anchor() -> None:
    plan = replace(PAPER, metrics={"a": "rise"}, level="a", fail_z=100.0, warn_z=5.0, hold=99)
    values = [1.0] * 4 + [1.1] * 16
    assert driver(run(plan, values)[-1]).view == "level"
    assert driver(run(replace(plan, level_from=4), values)[-1]).z == 0.0
    assert driver(run(plan, values, anchors=(4,))[-1]).z == 0.0


def test_the_level_view_forgets_the_window_in_which_a_change_was_declared() -> None:
    plan = replace(PAPER, metrics={"a": "rise"}, level="a")
    values = [0.0] * 12 + [1.0] * 40
    assert driver(run(plan, values, anchors=(11,))[-1]).z == 0.0
    assert driver(run(plan, values, anchors=(10,))[-1]).z > 1000  # all of it was after that


@pytest.mark.parametrize(
    ("persistence", "reasons"),
    [
        (1, ["change_fail"] * 3),
        (2, ["change_warn", "change_fail", "change_fail"]),
        (3, ["change_warn", "change_warn", "change_fail"]),
    ],
)
def test_so_many_windows_in_a_row_must_exceed(persistence: int, reasons: list[str]) -> None:
    # Faster and faster, so that the windows that only warned do not become the rule.
    plan = replace(PAPER, policy="forecast_z_persistence", persistence=persistence)
    values = [0.0] * 10 + [1e3, 1e3, 1e7, 1e7, 1e11, 1e11]
    assert said(run(plan, values))[5:] == reasons


def test_a_row_ends_with_a_window_that_did_not_exceed_and_not_with_a_skip() -> None:
    plan = replace(PAPER, policy="forecast_z_persistence", persistence=2)
    broken = [0.0] * 10 + [1e3, 1e3, math.nan, 0.0, 1e12, 1e12]
    assert said(run(plan, broken))[5:] == ["change_warn", "nonfinite_fail", "change_warn"]
    stalled = [{"a": a, "still": 1.0} for a in [0.0] * 10 + [1e3, 1e3, 1e3, 1e3, 1e12, 1e12]]
    stalled[12]["still"] = stalled[13]["still"] = 0.0
    guarded = replace(plan, metrics={"a": "two_sided", "still": "stall"})
    assert said(run(guarded, stalled))[5:] == ["change_warn", "stalled_fail", "change_warn"]
    calm = [0.0] * 10 + [1e3, 1e3, 1e3, 1e3, 1e12, 1e12]
    assert said(run(plan, calm))[5:] == ["change_warn", "none_ok", "change_warn"]
    # A window without observations; no forecast until it has left the reference.
    gap: list[Any] = [0.0] * 10 + [1e3, 1e3] + [{}] * 2 + [1e3] * 4 + [1e12] * 2
    skips = ["not_evaluated_insufficient_history"] * 3
    assert said(run(plan, gap))[5:] == ["change_warn", *skips, "change_fail"]


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 2.0**63, -(2.0**63)])
def test_a_value_that_is_not_finite_fails_at_once_even_in_the_warm_up(odd: float) -> None:
    for name in ("a", "still"):
        plan = replace(PAPER, metrics={"a": "two_sided", "still": "stall"}, warmup=1000)
        rows = [{"a": 1.0, "still": 1.0} for _ in range(4)]
        rows[1][name] = odd
        first, second = run(plan, rows)
        assert (first.decision, first.reason) == ("fail", "nonfinite_fail")
        audit = first.as_data()["audit"]
        assert (audit["worst_DW"], audit["eps_eff"], audit["per_metric_tv"]) == ("NaN", None, {})
        assert second.reason == "not_evaluated_warmup"


def test_a_value_just_below_2_to_the_63_is_finite() -> None:
    value = math.nextafter(2.0**63, 0)
    assert said(run(PAPER, [value] * 12))[-1] == "none_ok"


def test_other_metrics_may_be_whatever_they_like() -> None:
    rows = [{"a": 1.0, "other": math.nan}] * 12
    assert said(run(PAPER, rows))[-1] == "none_ok"


def test_standing_at_exactly_zero_for_a_whole_window_is_a_stall() -> None:
    plan = replace(PAPER, metrics={"a": "two_sided", "still": "stall"}, warmup=5)

    def told(*still: float) -> str:
        return said(run(plan, [{"a": 1.0, "still": x} for x in (1.0, 1.0, *still)]))[-1]

    assert told(0.0, 0.0) == "not_evaluated_warmup"
    assert told(1.0, 1.0, 0.0, 0.0) == "stalled_fail"
    assert told(1.0, 1.0, -0.0, 0.0) == "stalled_fail"
    assert told(1.0, 1.0, 0.0, 5e-324).startswith("not_evaluated")
    rows: list[Any] = [{"a": 1.0, "still": 0.0}] * 5 + [{"a": 1.0}]
    assert said(run(plan, rows))[-1].startswith("not_evaluated")


def test_a_metric_with_a_gap_is_not_scored_and_the_others_are() -> None:
    plan = replace(PAPER, metrics={"a": "two_sided", "b": "two_sided"})
    rows = [{"a": 1.0, "b": 1.0} for _ in range(20)]
    del rows[9]["b"]
    scored = [set(forecast(c).scores) for c in run(plan, rows) if c.iter >= 8]
    # Block 9 is tested at 10, and in the reference of 12 and 14.
    assert scored == [{"a", "b"}, {"a"}, {"a"}, {"a"}, {"a", "b"}, {"a", "b"}, {"a", "b"}]


def test_of_two_values_for_one_iteration_the_first_counts() -> None:
    gate = open_gate(replace(PAPER, metrics={"a": "two_sided", "b": "two_sided"}))
    gate.observe(0, {"a": 1.0})
    gate.observe(0, {"a": math.nan, "b": 1.0})
    gate.observe(1, {"a": 1.0, "b": 1.0})
    check = gate.check(2)
    assert check is not None
    assert check.reason == "not_evaluated_insufficient_history"


def test_of_equal_scores_the_first_view_and_the_first_name_drive() -> None:
    plan = replace(
        PAPER,
        metrics={"b": "two_sided", "a": "two_sided", "B": "two_sided"},
        views=(View("z", 2, 0, 8), View("y", 2, 0, 8)),
    )
    check = run(plan, [dict.fromkeys("abB", 0.0)] * 10 + [dict.fromkeys("abB", 1.0)] * 2)[-1]
    assert (forecast(check).metric, forecast(check).as_data()["view"]) == ("B", "z")


def test_evidence_is_the_smaller_of_window_and_reference() -> None:
    plan = replace(PAPER, metrics={"a": "two_sided", "b": "two_sided", "still": "stall"})
    rows: list[Any] = [{"a": 1.0, "b": 1.0, "still": 1.0} for _ in range(10)]
    del rows[8]["b"]
    checks = run(plan, rows)
    assert [c.evidence_total for c in checks] == [0, 4, 4, 4, 3]
    poor = replace(plan, min_evidence=4)
    assert said(run(poor, rows))[-2:] == ["none_ok", "not_evaluated_insufficient_evidence"]


def test_a_long_run_needs_no_more_memory_than_a_short_one() -> None:
    gate = ForecastGate(PAPER)
    sizes = []
    for i in range(2000):
        gate.observe(i, {"a": float(i % 3)})
        if gate.check(i + 1):
            sizes.append(len(gate._history.columns["a"].n) + len(gate._misses["a", "window"]._at))
    assert max(sizes) < 60
    assert len(gate._history) == 2000


def test_the_canonical_gate_is_quiet_on_a_run_that_learns_and_hears_it_break() -> None:
    """Metrics that drift as in training; then the loss rises by four standard deviations."""
    noise = [((i * 7919) % 997) / 997 - 0.5 for i in range(4000)]
    names = ("act_rms", "cos_disp", "eff_dim", "rankme", "var_out_k")
    for onset in (10**9, 2010):
        gate, told = open_gate(preset("tuned_v0")), []
        for i in range(3000):
            values = {name: 3 + i / 1000 + noise[(i + j) % 4000] for j, name in enumerate(names)}
            values |= {"loss": 2 + 300 / (i + 100) + noise[i % 4000] / 4, "update_rms": 1e-3}
            values["loss"] += 0.3 if i >= onset else 0.0
            if gate.wants(i):
                gate.observe(i, values)
            check = gate.check(i + 1)
            if check is not None and check.iter >= 1000:
                told.append((check.iter, check.decision))
        assert {d for t, d in told if t <= onset} == {"pass"}
        if onset < 3000:
            assert dict(told)[2100] == "fail"
