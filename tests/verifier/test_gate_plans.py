"""verifier/plan.py: a plan that cannot be followed, or is not the preset whose name it bears."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.verifier.capsule import OPENED, PLANNED
from tests.verifier.gate_runs import BY_HAND, FORECAST, FREE, by_hand, planned, told, written
from verifier.gates import Recount
from verifier.plan import PresetsError, load_presets, plan_faults
from verifier.run import verify_path


def faults(gate: Mapping[str, Any], *, asked: str | None = None, **overrides: object) -> str:
    presets = {"known": {**FORECAST, "preset": "known"}}
    return "; ".join(plan_faults({"gate": gate, "overrides": overrides}, asked, presets))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"block": 2, "window": 3}, "window: expected a multiple of block 2, found 3"),
        ({"block": 3, "window": 3, "metric_interval": 2}, "block: expected a multiple"),
        ({"metrics": {"loss": "stall"}}, "metrics: none of them is forecast"),
        ({"metrics": {}}, "metrics: none of them is forecast"),
        ({"metrics": {"loss": "rise", "": "rise"}}, "metrics: one has no name"),
        ({"level": "other"}, "level: other is not among the metrics"),
        ({"metrics": {"loss": "rise", "a": "stall"}, "level": "a"}, "level: a is not among"),
        ({"views": FORECAST["views"] * 2}, "views: two of one name"),
        ({"views": [{**FORECAST["views"][0], "name": "level"}]}, "or one named level"),
        ({"persistence": 2}, "persistence: forecast_z_max has 1, found 2"),
        ({"metrics": {f"m{n}": "rise" for n in range(65)}}, "metrics: expected at most 64"),
        ({"window": 257}, "window: expected at most 256 blocks, found 257"),
        (
            {
                "reference": 256,
                "metrics": {f"m{n}": "rise" for n in range(13)},
                "views": [{**FORECAST["views"][0], "errors": 1024}],
            },
            "to be at most 16384, found 16640",
        ),
    ],
)
def test_a_forecast_plan_that_contradicts_itself(change: dict[str, Any], said: str) -> None:
    assert faults(FORECAST) == ""
    assert said in faults({**FORECAST, **change})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric_interval": 3}, "window: expected a multiple of metric_interval 3, found 10"),
        ({"policy": "forecast_z_max"}, "policy: expected one of conjunction, either, persistence"),
        ({"weights": {"loss": 1.0, "other": 1.0}}, "weights: expected one for each metric"),
        ({"weights": {"loss": 0.0}}, "weights: none of them is more than 0"),
        ({"ranges": {"loss": [1.0, 1.0]}}, "ranges.loss: expected low < high"),
        ({"ranges": {"loss": [-1e308, 1e308]}}, "ranges.loss: expected low < high"),
        ({"ranges": {}, "weights": {}}, "weights: none"),
        (
            {
                "bins": 4096,
                "ranges": {f"m{n}": [0, 1] for n in range(3)},
                "weights": {f"m{n}": 1 for n in range(3)},
            },
            "bins: expected at most 8192 in all",
        ),
        (
            {
                "ranges": {f"m{n}": [0, 1] for n in range(65)},
                "weights": {f"m{n}": 1 for n in range(65)},
            },
            "ranges: expected at most 64 metrics",
        ),
    ],
)
def test_a_histogram_plan_that_contradicts_itself(change: dict[str, Any], said: str) -> None:
    assert faults(PLANNED["gate"]) == ""
    assert said in faults({**PLANNED["gate"], **change})


def test_a_true_is_no_one() -> None:
    """An override of ``true`` must not pass for the 1 that stands in the plan."""
    known = {**FORECAST, "preset": "known", "hold": 1}
    assert faults(known, hold=1) == ""
    assert "overrides.hold: expected true, found 1" in faults(known, hold=True)


def test_a_plan_is_the_preset_that_it_names() -> None:
    known = {**FORECAST, "preset": "known"}
    milder = {**known, "fail_z": 4.0}
    assert faults(known) == ""
    assert faults({**milder, "preset": "own"}) == ""
    assert faults(milder) == "fail_z: expected 3.0, found 4.0"
    assert faults(milder, fail_z=4) == ""
    assert faults(milder, fail_z=5.0) == "overrides.fail_z: expected 5.0, found 4.0 in the plan"
    assert faults(known, fail_z=3.0) == "overrides.fail_z: 3.0 is the preset's own value"
    assert faults(known, epsilon=3.0) == "overrides.epsilon: the plan has no such control"
    assert "views: expected" in faults({**known, "views": [{**known["views"][0], "gap": 1}]})
    other = {**PLANNED["gate"], "preset": "known"}
    assert "has no such control" in faults(other)


def test_an_optional_control_that_is_absent_is_null() -> None:
    gate = PLANNED["gate"]
    presets = {"demo": {**gate, "gain": None, "min_metrics_exceeding": None}}
    assert plan_faults({"gate": gate}, None, presets) == []
    presets["demo"]["gain"] = 0.0
    assert plan_faults({"gate": gate}, None, presets) == ["gain: expected 0.0, found null"]


def test_the_plan_is_the_one_that_was_asked_for() -> None:
    assert faults(FORECAST, asked="mine") == ""
    assert faults(FORECAST, asked="known") == "preset: run.opened asks for known, found mine"
    opened = ("run.opened", {**OPENED, "gate_preset": "tuned_v0"})
    assert told([opened, planned(FORECAST)])[1] == [("gate.plan", 1)]


def test_a_run_whose_plan_is_refused_is_not_decided_again_and_that_is_said(tmp_path: Path) -> None:
    events = by_hand(*BY_HAND)
    events[1] = planned({**FORECAST, "persistence": 2})
    story, found, _ = told(events)
    assert found == [("gate.plan", 1)]
    assert story.recount() == Recount(checked=7)
    verdict = verify_path(written(tmp_path, events), FREE)
    assert verdict.outcome == "REFUTED"
    assert "gate checks: none of 7 was decided again; there is no plan" in verdict.to_text()
    assert "gates recomputed: 0 of 7" in verdict.to_text()
    assert "gates recomputed: not as it should be (gate.plan 1)" in verdict.checked
    runs: Any = verdict.to_json()["runs"]
    assert (runs[0]["gate_checks"], runs[0]["gates_recomputed"]) == (7, 0)


def test_every_published_preset_can_be_followed() -> None:
    presets = load_presets()
    assert {"tuned_v0", "spike_v1", "short_v0", "legacy", "demo_v0"} <= presets.keys()
    for name, gate in presets.items():
        assert gate["preset"] == name
        assert plan_faults({"gate": gate}, name, presets) == []


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"a":1}'])
def test_without_the_published_presets_nothing_is_verified(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "presets.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PresetsError, match=r"presets\.json"):
        load_presets(path)
