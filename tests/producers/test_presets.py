"""The named plans: as documented, as published, and open to single departures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ledger import MisuseError
from ledger.events.run import RunPlanned
from producers.gates import (
    CANONICAL,
    CONTROLS,
    DEMO,
    PRESETS,
    ForecastPlan,
    Plan,
    departures,
    open_gate,
    plan_from_data,
    preset,
)
from producers.gates.publish import published

ROOT = Path(__file__).parents[2]
_AGAIN = "import docs.presets as p; print(p.current(p.PAGE.read_text('utf-8')), end='')"


def test_the_verifiers_presets_are_these() -> None:
    assert (ROOT / "verifier" / "presets.json").read_bytes() == published()


def test_the_tables_of_the_page_are_current() -> None:
    page = ROOT / "docs" / "presets.md"
    before = page.read_text(encoding="utf-8")
    again = subprocess.run(
        [sys.executable, "-c", _AGAIN],
        cwd=ROOT,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    assert again.stdout == before


def test_every_preset_is_named_on_the_page_and_opens_a_gate() -> None:
    page = (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
    for name, plan in PRESETS.items():
        assert plan.preset == name
        assert page.count(f"| `{name}` |") >= 2  # what it is for, and what was measured
        assert open_gate(preset(name)).plan is not None
    assert next(iter(PRESETS)) == CANONICAL == "tuned_v0"


def test_the_canonical_preset_is_what_was_measured() -> None:
    """docs/explanation/gate-statistics.md. Another value here is another preset: name it anew."""
    plan = preset("tuned_v0")
    assert isinstance(plan, ForecastPlan)
    assert (plan.window, plan.block, plan.metric_interval, plan.warmup) == (100, 25, 5, 1000)
    assert [(v.blocks, v.gap, v.errors) for v in plan.views] == [(4, 0, 24), (4, 4, 24), (1, 0, 48)]
    assert (plan.reference, plan.min_errors, plan.warn_z, plan.fail_z) == (16, 8, 5.0, 6.0)
    assert (plan.metrics["loss"], plan.metrics["update_rms"]) == ("rise", "stall")


def test_every_preset_is_a_plan_that_can_be_recorded() -> None:
    for plan in PRESETS.values():
        planned = {
            "gate": plan.as_data(),
            "max_iters": 1,
            "seed": 0,
            "model": {},
            "data": {"name": "none", "sha256": "0" * 64, "bytes": 0},
        }
        RunPlanned.model_validate_json(json.dumps(planned))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tuned_v1", "did you mean tuned_v0"),
        ("tuned", "did you mean tuned_v0"),
        ("legacyy", "did you mean legacy"),
        ("?", "known are tuned_v0, spike_v1, short_v0, legacy, demo_v0"),
    ],
)
def test_an_unknown_preset_is_refused_with_a_hint(name: str, message: str) -> None:
    with pytest.raises(MisuseError, match=message):
        preset(name)


def test_a_control_can_be_set_otherwise_and_is_told() -> None:
    plan = preset("tuned_v0", {"window": 50, "warn_z": 4, "level": None})
    assert (plan.window, plan.preset) == (50, "tuned_v0")
    assert departures(plan) == {"window": 50, "level": None, "warn_z": 4.0}
    assert plan_from_data(plan.as_data() | preset("tuned_v0").as_data()) == preset("tuned_v0")


def test_the_presets_own_value_is_no_departure() -> None:
    for name, plan in PRESETS.items():
        same = {control: getattr(plan, control) for control in CONTROLS if hasattr(plan, control)}
        assert preset(name, same) == plan
        assert departures(preset(name, same)) == {}


def test_a_plan_of_ones_own_departs_from_nothing() -> None:
    own = Plan.from_data(DEMO.as_data() | {"preset": "mine", "window": 40})
    assert departures(own) == {}


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("tuned_v0", {"windw": 50}, "no control 'windw'; did you mean window"),
        ("tuned_v0", {"epsilon": 0.1}, "no control 'epsilon'"),
        ("tuned_v0", {"gain": None}, "no control 'gain'"),
        ("legacy", {"warn_z": 4.0}, "no control 'warn_z'"),
        ("tuned_v0", {"preset": "mine"}, "no control 'preset'"),
        ("tuned_v0", {"metrics": "loss"}, "no control 'metrics'"),
        ("tuned_v0", {"views": "last"}, "no control 'views'"),
        ("legacy", {"weights": 1}, "no control 'weights'"),
        ("tuned_v0", {"window": 50.0}, "window: 50.0 is not an integer"),
        ("tuned_v0", {"window": True}, "window: True is not an integer"),
        ("tuned_v0", {"window": None}, "window: None is not an integer"),
        ("tuned_v0", {"warn_z": "5"}, "warn_z: '5' is not a number"),
        ("tuned_v0", {"warn_z": float("nan")}, "warn_z: nan is not a number"),
        ("legacy", {"gain": False}, "gain: False is not a number"),
        ("tuned_v0", {"policy": 1}, "policy: 1 is not a text"),
        ("tuned_v0", {"window": 110}, "window of block"),
        ("tuned_v0", {"persistence": 2}, "choose forecast_z_persistence"),
        ("legacy", {"policy": "sometimes"}, "policy 'sometimes' is not one of"),
    ],
)
def test_a_departure_that_cannot_be_carried_out_is_refused(
    name: str, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(MisuseError, match=message):
        preset(name, overrides)


def test_every_control_belongs_to_a_plan_and_every_number_of_a_plan_is_a_control() -> None:
    for kind in (ForecastPlan, Plan):
        plan = next(plan for plan in PRESETS.values() if isinstance(plan, kind))
        data = plan.as_data()
        fixed = {"preset", "engine", "views", "metrics", "ranges", "weights"}
        assert data.keys() - fixed == {name for name in CONTROLS if hasattr(plan, name)}


def test_publishing_writes_the_file_or_says_how(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "producers.gates.publish"]
    path = tmp_path / "presets.json"
    subprocess.run([*command, str(path)], cwd=ROOT, check=True)
    assert path.read_bytes() == published()
    bad = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, encoding="utf-8")
    assert (bad.returncode, bad.stderr) == (64, "usage: python -m producers.gates.publish PATH\n")
