"""The gate's decisions: recomputed from counts, exactly."""

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import MisuseError
from ledger.events import check as check_payload
from producers.gates import DEMO, Check, Evidence, Metric, Plan, count, decide, open_gate
from producers.gates import total_variation as tv

HIGH, LOW = (0, 0, 0, 4), (4, 0, 0, 0)
NONE = (0, 0, 0, 0)


def same(counts: tuple[int, ...] = LOW) -> dict[str, Evidence]:
    return {"a": Evidence(counts, counts), "b": Evidence(counts, counts)}


def moved() -> dict[str, Evidence]:
    return {"a": Evidence(LOW, LOW), "b": Evidence(LOW, HIGH)}


def test_the_bin_edges_belong_to_the_bin_above_and_the_top_to_the_last() -> None:
    metric = Metric("m", 0.0, 4.0, 1.0)
    assert count([0.0, 0.999, 1.0, 2.0, 3.0, 4.0], metric, 4) == (2, 1, 1, 2)


def test_values_outside_the_range_are_clipped_into_it() -> None:
    assert count([-1e300, 1e300], Metric("m", -1.0, 1.0, 1.0), 2) == (1, 1)


def test_values_that_are_not_finite_are_not_counted() -> None:
    values = [math.nan, math.inf, -math.inf, 0.5]
    assert sum(count(values, Metric("m", 0.0, 1.0, 1.0), 2)) == 1


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30))
def test_every_finite_value_falls_into_one_bin(values: list[float]) -> None:
    assert sum(count(values, Metric("m", -3.0, 7.0, 1.0), 5)) == len(values)


HISTOGRAMS = st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any)


@given(HISTOGRAMS, HISTOGRAMS)
def test_total_variation_is_a_distance_between_0_and_1(one: list[int], other: list[int]) -> None:
    assert tv(one, other) == tv(other, one)
    assert 0 <= tv(one, other) <= 1
    assert tv(one, one) == 0
    assert tv(one, [7 * n for n in one]) == 0


def test_total_variation_by_hand() -> None:
    assert tv((1, 1, 0), (0, 1, 2)) == Fraction(2, 3)
    assert tv((3, 0), (0, 5)) == 1


@pytest.mark.parametrize("bad", [((0, 0), (1, 0)), ((1, 0), (0, 0)), ((1, 0), (1, 0, 0))])
def test_total_variation_of_nothing_is_refused(
    bad: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    with pytest.raises(MisuseError):
        tv(*bad)


def test_d_w_is_the_weighted_mean_of_the_distances(plan: Plan) -> None:
    check = decide(plan, moved(), [], iteration=8)
    assert check.worst_dw == 0.75
    assert check.per_metric_tv == {"a": 0.0, "b": 1.0}
    assert (check.evidence_total, check.eps_eff) == (8, 0.5)


def test_a_distance_of_exactly_epsilon_passes(plan: Plan) -> None:
    even = {"a": Evidence(LOW, HIGH), "b": Evidence((4, 0, 0, 0), (2, 0, 0, 2))}
    # 1/4 * 1 + 3/4 * 1/2 = 5/8, against an epsilon just there and just below
    at, below = _with(plan, epsilon=0.625), _with(plan, epsilon=math.nextafter(0.625, 0))
    assert decide(at, even, [], iteration=8).decision == "pass"
    assert decide(below, even, [], iteration=8).decision == "warn"


@pytest.mark.parametrize(
    ("persistence", "history", "decision"),
    [
        (2, [], "warn"),
        (2, [False], "warn"),
        (2, [True], "fail"),
        (2, [True, False], "warn"),
        (2, [False, True], "fail"),
        (1, [], "fail"),
        (1, [False], "fail"),
        (3, [True], "warn"),
        (3, [False, True], "warn"),
        (3, [True, True], "fail"),
        (3, [False, True, True], "fail"),
    ],
)
def test_so_many_exceedances_in_a_row_fail(
    plan: Plan, persistence: int, history: list[bool], decision: str
) -> None:
    plan = _with(plan, persistence=persistence)
    check = decide(plan, moved(), history, iteration=40)
    assert (check.decision, check.reason, check.evaluated) == (decision, decision, True)


def test_one_quiet_check_passes_whatever_was_before(plan: Plan) -> None:
    assert decide(plan, same(), [True, True], iteration=40).decision == "pass"


def test_the_warm_up_is_skipped_and_says_so(plan: Plan) -> None:
    check = decide(_with(plan, warmup=9), moved(), [], iteration=8)
    assert (check.decision, check.reason, check.evaluated) == ("skip", "warmup", False)
    assert (check.worst_dw, check.per_metric_tv) == (None, {})
    assert decide(_with(plan, warmup=8), moved(), [], iteration=8).decision == "warn"


def test_without_a_reference_there_is_not_enough_evidence(plan: Plan) -> None:
    first = {"a": Evidence(NONE, LOW), "b": Evidence(NONE, LOW)}
    check = decide(plan, first, [], iteration=4)
    assert (check.decision, check.reason) == ("skip", "insufficient_evidence")
    assert check.evidence_total == 0


def test_less_than_the_minimum_of_evidence_is_skipped(plan: Plan) -> None:
    thin = {"a": Evidence((1, 0, 0, 0), LOW), "b": Evidence((4, 0, 0, 0), HIGH)}
    check = decide(plan, thin, [], iteration=8)
    assert (check.decision, check.evidence_total) == ("skip", 5)
    assert decide(_with(plan, min_evidence=5), thin, [], iteration=8).decision == "warn"


def test_one_metric_without_a_reference_is_not_enough_however_much_the_others_have(
    plan: Plan,
) -> None:
    """Else a metric that never had a reference would count as one that did not move."""
    half = {"a": Evidence(NONE, LOW), "b": Evidence(LOW, LOW)}
    check = decide(_with(plan, min_evidence=1), half, [], iteration=8)
    assert (check.decision, check.reason) == ("skip", "insufficient_evidence")


@pytest.mark.parametrize("warmup", [0, 100])
def test_a_value_that_is_not_finite_fails_at_once_even_in_the_warm_up(
    plan: Plan, warmup: int
) -> None:
    broken = {"a": Evidence(LOW, LOW), "b": Evidence(LOW, (3, 0, 0, 0))}
    check = decide(_with(plan, warmup=warmup), broken, [], iteration=8)
    assert (check.decision, check.reason) == ("fail", "nonfinite_metric")
    audit = check.as_data()["audit"]
    assert (audit["worst_DW"], audit["per_metric_tv"]) == ("NaN", {"a": 0.0, "b": "NaN"})


@pytest.mark.parametrize(
    "evidence",
    [
        {"a": Evidence(LOW, LOW)},
        {**same(), "c": Evidence(LOW, LOW)},
        {"a": Evidence(LOW, LOW), "b": Evidence(LOW, (4, 0, 0))},
        {"a": Evidence(LOW, LOW), "b": Evidence(LOW, (5, 0, 0, 0))},
        {"a": Evidence(LOW, LOW), "b": Evidence(LOW, (5, -1, 0, 0))},
    ],
)
def test_evidence_that_is_not_of_the_plan_is_refused(
    plan: Plan, evidence: dict[str, Evidence]
) -> None:
    with pytest.raises(MisuseError):
        decide(plan, evidence, [], iteration=8)


def test_a_check_can_be_decided_again_from_what_is_recorded(plan: Plan) -> None:
    """The point of recording counts: plan, counts and order of decisions are enough."""
    history, decisions = list[bool](), list[str]()
    recorded_plan = json.loads(json.dumps(plan.as_data()))
    rows = [{"a": (i % 4) / 4, "b": 9.0 if 17 <= i < 32 else 1.0} for i in range(40)]
    for check in _checks(plan, rows):
        recorded = json.loads(json.dumps(check.as_data()))
        again = _decide_again(recorded_plan, recorded, history)
        assert again == check
        decisions.append(again.decision)
        if again.evaluated:
            history.append(again.exceeds)
    assert decisions == ["skip"] * 2 + ["pass"] * 2 + ["warn"] + ["fail"] * 3 + ["pass"] * 2


def test_a_check_fits_the_published_schema(plan: Plan) -> None:
    broken = {"a": Evidence(LOW, LOW), "b": Evidence(LOW, (3, 0, 0, 0))}
    for evidence in (same(), moved(), broken):
        data = json.dumps(decide(plan, evidence, [], iteration=8).as_data())
        check_payload("gate.checked", data.encode())


def test_a_window_that_exceeded_never_becomes_the_reference(plan: Plan) -> None:
    """Else a lasting fault would fall silent after one window."""
    checks = _run(plan, [1.0] * 12 + [9.0] * 20)
    assert [c.decision for c in checks] == ["skip", "skip", "pass", "warn", *["fail"] * 4]
    assert {c.evidence["b"].reference for c in checks[2:]} == {LOW}


@pytest.mark.parametrize("onset", range(12, 16))
def test_an_onset_anywhere_in_a_window_is_seen_within_two_windows(plan: Plan, onset: int) -> None:
    checks = _run(plan, [1.0] * onset + [9.0] * 20)
    first = next(c.iter for c in checks if c.decision in {"warn", "fail"})
    assert onset < first <= onset + 2 * plan.window
    assert {c.decision for c in checks if c.iter > first} == {"fail"}


def test_the_reference_is_not_the_window_just_before(plan: Plan) -> None:
    """An onset in the middle of that one may have gone unseen."""
    checks = _run(plan, [1.0, 1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 4.0, 6.0, 6.0, 6.0, 6.0])
    assert checks[2].evidence["b"] == Evidence((4, 0, 0, 0), (0, 0, 4, 0))


def test_only_every_metric_interval_is_counted(plan: Plan) -> None:
    sparse = _with(plan, metric_interval=2, min_evidence=4)
    checks = _run(sparse, [1.0, 9.0] * 8)
    assert [c.decision for c in checks] == ["skip", "skip", "pass", "pass"]
    assert checks[1].evidence["b"].recent == (2, 0, 0, 0)


def test_nan_in_a_run_fails_its_window_and_is_not_the_reference_of_the_next(plan: Plan) -> None:
    checks = _run(plan, [1.0] * 9 + [math.nan] + [1.0] * 14)
    assert [c.decision for c in checks] == ["skip", "skip", "fail", "pass", "pass", "pass"]
    assert {c.evidence["b"].reference for c in checks[2:]} == {LOW}


@pytest.mark.parametrize(
    "change",
    [
        {"window": 0},
        {"window": 5, "metric_interval": 2},
        {"bins": 1},
        {"epsilon": -0.1},
        {"epsilon": math.nan},
        {"persistence": 0},
        {"min_evidence": 0},
        {"warmup": -1},
        {"policy": "eitheror"},
        {"gain": math.inf},
        {"metrics": tuple(Metric(str(n), 0.0, 1.0, 1.0) for n in range(65))},
        {"bins": 32769},
        {"min_metrics_exceeding": 0},
        {"metrics": (Metric("a", 0.0, 1.0, 0.0),)},
        {"metrics": ()},
        {"metrics": (Metric("a", 0.0, 1.0, 1.0), Metric("a", 0.0, 2.0, 1.0))},
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(
    plan: Plan, change: dict[str, object]
) -> None:
    with pytest.raises(MisuseError):
        _with(plan, **change)


@pytest.mark.parametrize(
    "arguments",
    [
        (1.0, 1.0, 1.0),
        (2.0, 1.0, 1.0),
        (0.0, math.inf, 1.0),
        (-1e308, 1e308, 1.0),
        (math.nan, 1.0, 1.0),
        (0.0, 1.0, -1.0),
    ],
)
def test_a_metric_without_a_range_or_weight_is_refused(
    arguments: tuple[float, float, float],
) -> None:
    with pytest.raises(MisuseError):
        Metric("m", *arguments)


def test_a_plan_survives_being_recorded(plan: Plan) -> None:
    for one in (plan, DEMO):
        assert Plan.from_data(json.loads(json.dumps(one.as_data()))) == one


def test_a_plan_recorded_before_gain_and_consensus_existed_has_neither() -> None:
    data = DEMO.as_data()
    del data["gain"], data["min_metrics_exceeding"]
    assert Plan.from_data(data) == DEMO


@pytest.mark.parametrize("missing", ["window", "ranges", "weights"])
def test_a_recorded_plan_with_a_member_missing_is_refused(plan: Plan, missing: str) -> None:
    data = plan.as_data()
    del data[missing]
    with pytest.raises(MisuseError):
        Plan.from_data(data)


def _with(plan: Plan, **change: object) -> Plan:
    values = {name: getattr(plan, name) for name in plan.__slots__} | change
    return Plan(**values)


def _run(plan: Plan, values: list[float]) -> list[Check]:
    return _checks(plan, [{"a": 0.5, "b": value} for value in values])


def _checks(plan: Plan, rows: list[dict[str, float]]) -> list[Check]:
    gate, found = open_gate(plan), list[Check]()
    for i, row in enumerate(rows):
        gate.observe(i, row)
        check = gate.check(i + 1)
        if check is not None:
            found.append(check)
    return found


def _decide_again(plan: dict[str, object], data: dict[str, object], history: list[bool]) -> Check:
    evidence = {
        name: Evidence(tuple(sides["reference"]), tuple(sides["recent"]))
        for name, sides in data["evidence"].items()  # type: ignore[attr-defined]
    }
    return decide(
        Plan.from_data(plan),
        evidence,
        history,
        iteration=data["iter"],  # type: ignore[arg-type]
    )


# Recorded from real demo runs of the default model: the healthy one that came nearest to
# epsilon, and the two faults that did (docs/explanation/demo-gate.md).
TRACES = json.loads(Path(__file__).with_name("demo_traces.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: str(trace["options"]))
def test_the_demos_gate_is_quiet_on_health_and_speaks_within_two_windows(
    trace: dict[str, Any],
) -> None:
    columns = trace["metrics"]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    checks = _checks(DEMO, rows)
    _, _, fault = trace["options"].partition("random@")
    onset = int(fault.partition(":")[0]) if fault else 10_000
    before = [c.decision for c in checks if c.iter <= onset and c.iter >= DEMO.warmup]
    assert len(before) >= 5
    assert set(before) == {"pass"}
    if fault:
        spoken = [c.decision for c in checks if onset < c.iter <= onset + 2 * DEMO.window]
        assert set(spoken) & {"warn", "fail"}
        assert "fail" in [c.decision for c in checks if c.iter <= onset + 3 * DEMO.window]
