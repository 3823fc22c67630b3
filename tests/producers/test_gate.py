"""What all gates share, and the histogram gate's rules besides the distance."""

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import MisuseError
from ledger.events import check as check_payload
from producers.gates import (
    PRESETS,
    Check,
    Gate,
    Metric,
    Plan,
    open_gate,
    plan_from_data,
    preset,
)

QUIET, LOUD = 1.0, 9.0


def with_policy(policy: str, **change: Any) -> Plan:
    """Windows of two; ``a`` decides, ``loss`` only gives the gain."""
    return Plan(
        **{
            "preset": "p",
            "policy": policy,
            "window": 2,
            "warmup": 0,
            "bins": 10,
            "metrics": (Metric("a", 0.0, 10.0, 1.0), Metric("loss", 0.0, 10.0, 0.0)),
            "epsilon": 0.5,
            "persistence": 2,
            "min_evidence": 1,
            "gain": 0.0,
        }
        | change
    )


def decisions(plan: Plan, windows: list[tuple[float, float]]) -> list[str]:
    """Return the decisions after two quiet windows, for windows of (a, loss)."""
    gate, found = open_gate(plan), []
    for w, (a, loss) in enumerate([(QUIET, 5.0), (QUIET, 5.0), *windows]):
        for i in (2 * w, 2 * w + 1):
            gate.observe(i, {"a": a, "loss": loss})
        check = gate.check(2 * w + 2)
        assert check is not None
        found.append(check.decision)
    assert found[:2] == ["skip", "skip"]
    return found[2:]


@pytest.mark.parametrize(
    ("policy", "quiet", "low", "loud", "both"),
    [
        ("persistence", "pass", "warn", "warn", "warn"),
        ("persistence_stability", "pass", "warn", "warn", "warn"),
        ("either", "pass", "fail", "fail", "fail"),
        ("conjunction", "pass", "pass", "warn", "fail"),
    ],
)
def test_what_each_policy_makes_of_one_window(
    policy: str, quiet: str, low: str, loud: str, both: str
) -> None:
    plan = with_policy(policy)
    assert decisions(plan, [(QUIET, 5.0)]) == [quiet]
    assert decisions(plan, [(QUIET, 5.5)]) == [low]
    assert decisions(plan, [(LOUD, 5.0)]) == [loud]
    assert decisions(plan, [(LOUD, 5.5)]) == [both]


def test_a_window_that_warned_for_its_gain_alone_does_not_begin_a_row() -> None:
    plan = with_policy("persistence")
    assert decisions(plan, [(QUIET, 6.0), (LOUD, 5.0), (LOUD, 5.0)]) == ["warn", "warn", "fail"]


def test_without_a_gain_rule_the_loss_may_do_what_it_likes() -> None:
    assert decisions(with_policy("either", gain=None), [(QUIET, 9.0)]) == ["pass"]


def test_the_gain_is_exact_in_bits_of_the_binary64_product() -> None:
    """The loss falls by exactly one quantum, against thresholds around it."""
    fell = 2.0**-20
    threshold = fell / 0.6931471805599453
    while threshold * 0.6931471805599453 <= fell:
        threshold = math.nextafter(threshold, 1)
    assert decisions(with_policy("either", gain=threshold), [(QUIET, 5.0 - fell)]) == ["fail"]
    below = math.nextafter(threshold, 0)
    assert below * 0.6931471805599453 <= fell
    assert decisions(with_policy("either", gain=below), [(QUIET, 5.0 - fell)]) == ["pass"]


def test_the_gain_is_not_low_where_no_loss_was_observed() -> None:
    plan = with_policy("either", metrics=(Metric("a", 0.0, 10.0, 1.0),), gain=1.0)
    gate = open_gate(plan)
    told = []
    for i in range(8):
        gate.observe(i, {"a": QUIET} if i < 2 or i > 5 else {"a": QUIET, "loss": 5.0})
        check = gate.check(i + 1)
        if check is not None:
            told.append(check.decision)
    # The fourth window has no loss, and the third's reference, the first, had none.
    assert told == ["skip", "skip", "pass", "pass"]


@pytest.mark.parametrize(
    ("least", "decision"), [(None, "fail"), (1, "fail"), (2, "pass"), (9, "pass")]
)
def test_so_many_metrics_must_exceed_on_their_own(least: int | None, decision: str) -> None:
    plan = with_policy("either", gain=None, min_metrics_exceeding=least)
    assert decisions(plan, [(LOUD, 5.0)]) == [decision]
    assert decisions(plan, [(LOUD, 9.0)]) == ["fail"]


def test_a_value_that_was_not_observed_is_as_bad_as_nan() -> None:
    gate = open_gate(with_policy("either"))
    gate.observe(0, {"a": 1.0, "loss": 1.0})
    gate.observe(1, {"a": 1.0})
    check = gate.check(2)
    assert check is not None
    assert check.reason == "nonfinite_metric"
    assert check.as_data()["audit"]["per_metric_tv"] == {"loss": "NaN"}


def test_nothing_anchors_the_histogram_gate() -> None:
    gate, anchored = open_gate(with_policy("either")), open_gate(with_policy("either"))
    for i in range(12):
        if i in {3, 6}:
            anchored.anchor(i)
        values = {"a": float(i % 5), "loss": 3.0 - i / 9}
        gate.observe(i, values)
        anchored.observe(i, values)
        assert gate.check(i + 1) == anchored.check(i + 1)


class TestEveryGate:
    """What open_gate promises of both kinds."""

    @pytest.fixture(params=PRESETS)
    def gate(self, request: pytest.FixtureRequest) -> Gate:
        return open_gate(preset(request.param))

    def test_it_says_its_plan(self, gate: Gate) -> None:
        assert plan_from_data(json.loads(json.dumps(gate.plan.as_data()))) == gate.plan

    def test_it_wants_the_iterations_that_count(self, gate: Gate) -> None:
        step = gate.plan.metric_interval
        assert [i for i in range(4 * step) if gate.wants(i)] == [0, step, 2 * step, 3 * step]

    def test_a_check_is_made_where_a_window_ends_and_once(self, gate: Gate) -> None:
        window = gate.plan.window
        made = [done for done in range(3 * window + 2) if gate.check(done) is not None]
        assert made == [window, 2 * window, 3 * window]
        assert gate.check(3 * window) is None

    def test_a_window_cannot_be_passed_over(self, gate: Gate) -> None:
        window = gate.plan.window
        with pytest.raises(MisuseError, match=f"check at {window} is missing"):
            gate.check(window + 1)
        with pytest.raises(MisuseError, match=f"before the check at {window} was made"):
            gate.observe(window, {"loss": 1.0})

    def test_an_iteration_before_the_last_check_is_refused(self, gate: Gate) -> None:
        window = gate.plan.window
        gate.observe(0, {"loss": 1.0})
        gate.observe(0, {"loss": 2.0})
        gate.check(window)
        with pytest.raises(MisuseError, match="before the last check"):
            gate.observe(window - 1, {"loss": 1.0})

    def test_observations_and_declarations_do_not_go_back(self, gate: Gate) -> None:
        gate.observe(1, {"loss": 1.0})
        with pytest.raises(MisuseError, match="iteration 0 was observed after iteration 1"):
            gate.observe(0, {"loss": 1.0})
        gate.anchor(0)
        window = gate.plan.window
        with pytest.raises(MisuseError, match=f"before the check at {window} was made"):
            gate.anchor(window)
        gate.check(window)
        gate.anchor(window)
        with pytest.raises(MisuseError, match="before the last check"):
            gate.anchor(window - 1)

    def test_a_run_that_goes_on_begins_with_the_next_whole_window(self, gate: Gate) -> None:
        window = gate.plan.window
        resumed = open_gate(gate.plan, start=2 * window + 1)
        assert not resumed.wants(2 * window + gate.plan.metric_interval)
        assert resumed.wants(3 * window)
        resumed.observe(2 * window + gate.plan.metric_interval, {"loss": math.nan})
        resumed.anchor(2 * window + gate.plan.metric_interval)
        assert resumed.check(3 * window) is None
        data = gate.plan.as_data()
        for i in range(3 * window, 4 * window):
            resumed.observe(i, dict.fromkeys(data.get("metrics", data.get("ranges")), 1.0))
        check = resumed.check(4 * window)
        assert check is not None
        assert (check.iter, check.decision) == (4 * window, "skip")

    def test_a_run_cannot_begin_before_0(self, gate: Gate) -> None:
        with pytest.raises(MisuseError, match="cannot begin at iteration -1"):
            open_gate(gate.plan, start=-1)

    def test_its_checks_fit_the_published_schema(self, gate: Gate) -> None:
        draw, told = random.Random(4), set[str]()  # noqa: S311 - test data
        for i in range(30 * gate.plan.window):
            shift = 50.0 if i > 28 * gate.plan.window else 0.0
            names = ("act_rms", "cos_disp", "eff_dim", "loss", "rankme", "var_out_k")
            values = {name: draw.gauss(5 + shift, 1) for name in names}
            gate.observe(i, values | {"update_rms": 1.0 if i < 2000 else 0.0})
            check = gate.check(i + 1)
            if check is not None:
                check_payload("gate.checked", json.dumps(check.as_data()).encode())
                told.add(check.decision)
        assert {"skip", "fail"} <= told


HUGE = st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308, 2.0**63, 5e-324, -0.0])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(HUGE | st.floats(0, 10), HUGE | st.floats(0, 10)), max_size=24))
def test_no_value_brings_a_gate_down(rows: list[tuple[float, float]]) -> None:
    for plan in (with_policy("either"), preset("short_v0", {"window": 5, "warmup": 0})):
        gate = open_gate(plan)
        for i, (a, loss) in enumerate(rows):
            gate.observe(i, {"a": a, "loss": loss, "update_rms": a})
            check = gate.check(i + 1)
            assert check is None or isinstance(check, Check)


def test_an_integer_beyond_binary64_is_not_finite() -> None:
    gate = open_gate(preset("short_v0"))
    for i in range(20):
        gate.observe(i, {"loss": 10**400 if i == 7 else 1})
    check = gate.check(20)
    assert check is not None
    assert check.reason == "nonfinite_fail"
