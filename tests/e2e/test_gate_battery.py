"""The gate's battery counts as it should; the trainings themselves run on demand.

``python -m benchmarks.gate_battery`` trains; docs/gate-battery.md is what came of it.
"""

import json
import math
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from producers.gates import preset

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.gate import table  # noqa: E402 - found through the line above
from benchmarks.gate.gather import gather  # noqa: E402
from benchmarks.gate.statistics import bootstrap, clopper_pearson  # noqa: E402
from benchmarks.gate.training import Workplace, do  # noqa: E402
from benchmarks.gate.units import CONFIGS, KINDS, NAMED, Unit, onsets, plan  # noqa: E402
from benchmarks.gate_battery import work  # noqa: E402

CONFIG = CONFIGS[0]
SEED = CONFIG.seeds[0]


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        # Of the literature: 0/n is 1 - 0.025^(1/n), n/n its mirror, 10/100 from tables.
        (0, 20, 0.0, 1 - 0.025 ** (1 / 20)),
        (8, 8, 0.025 ** (1 / 8), 1.0),
        (10, 100, 0.0490047, 0.1762226),
        (1, 10, 0.0025286, 0.4450161),
        (0, 600, 0.0, 0.0061294),
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_bounds_are_clopper_and_pearsons(
    count: int, total: int, low: float, high: float
) -> None:
    assert clopper_pearson(count, total) == pytest.approx((low, high), abs=2e-6)


@pytest.mark.parametrize(("count", "total"), [(3, 17), (5, 600)])
def test_each_bound_leaves_half_of_what_the_confidence_leaves(count: int, total: int) -> None:
    """The definition itself, in exact fractions."""
    low, high = map(Fraction, clopper_pearson(count, total))

    def at_most(k: int, p: Fraction) -> Fraction:
        return sum(
            (math.comb(total, i) * p**i * (1 - p) ** (total - i) for i in range(k + 1)), Fraction()
        )

    assert float(1 - at_most(count - 1, low)) == pytest.approx(0.025)
    assert float(at_most(count, high)) == pytest.approx(0.025)


def test_bounds_stay_exact_for_a_thousand_trials() -> None:
    assert clopper_pearson(1000, 1000)[0] == pytest.approx(0.025 ** (1 / 1000))


def test_the_bootstrap_holds_the_ratio_of_the_sums() -> None:
    ratio, low, high = bootstrap([(0.02, 1.0), (0.01, 1.0), (0.03, 2.0)] * 10)
    assert ratio == pytest.approx(0.06 / 4)
    assert low < ratio < high
    assert bootstrap([(0.02, 1.0)] * 5) == pytest.approx((0.02, 0.02, 0.02))


@pytest.mark.parametrize("quick", [False, True])
def test_every_trial_comes_after_its_control_and_nothing_is_done_twice(*, quick: bool) -> None:
    units = plan(quick=quick)
    assert len({unit.name for unit in units}) == len(units)
    done = set()
    for unit in units:
        assert unit.what == "control" or unit.control in done
        if unit.what == "trial":
            assert unit.onset in onsets(unit.seed)
        done.add(unit)


def test_the_full_battery_is_as_large_as_it_was_asked_to_be() -> None:
    units = plan(quick=False)
    controls = [unit for unit in units if unit.what == "control"]
    assert len(controls) >= 20
    assert len({unit.config.size for unit in controls}) == 2
    assert len({unit.config.text for unit in controls}) == 2
    assert len(controls) * 21 >= 600  # checks from 1000 to 3000, each 100
    for kind in KINDS:
        trials = [unit for unit in units if unit.kind == kind]
        assert len({unit.seed for unit in trials}) >= 8
        assert len({unit.config for unit in trials}) == 4
        assert len({unit.onset for unit in trials}) >= 11
        aligned = [unit for unit in trials if unit.onset % 100 == 0]
        assert len(aligned) >= 8


def check(iteration: int, decision: str, z: float | None = 1.0) -> dict[str, Any]:
    driver = {"metric": "loss", "view": "window", "z": z}
    return {"iter": iteration, "decision": decision, "reason": "r", **driver}


def put(place: Workplace, unit: Unit, checks: list[dict[str, Any]], gate: str = "tuned_v0") -> None:
    result = {"unit": unit.name, "gate": preset(gate).as_data(), "cpu_s": 1.0, "checks": checks}
    place.result(unit).write_text(json.dumps(result), encoding="utf-8")


def counted(folder: Path, healthy: list[str], broken: list[str], onset: int) -> dict[str, Any]:
    """Return the figures of one control and one trial, whose checks are a hundred apart."""
    place = Workplace(folder)
    trial = Unit("trial", CONFIG, SEED, NAMED[0].name, onset)
    first = 2000 - 100 * (len(healthy) - 1)
    put(place, trial.control, [check(first + 100 * i, d) for i, d in enumerate(healthy)])
    put(place, trial, [check(2100 + 100 * i, d, 9.0) for i, d in enumerate(broken)])
    return gather([trial.control, trial, Unit("control", CONFIG, 999)], place)


def test_a_detection_is_counted_with_its_delay(tmp_path: Path) -> None:
    figures = counted(tmp_path, ["skip", "pass", "pass"], ["warn", "fail"], 2000)
    row = figures["aligned"][0]
    assert (row["within_1w"]["count"], row["within_2w"]["count"]) == (1, 1)
    assert (row["fail_within_2w"]["count"], row["delay_median"], row["z_median"]) == (1, 100, 9.0)
    assert figures["units"]["missing"] == {"control": 1}
    assert figures["all_healthy"]["per_check"]["total"] == 2


def test_a_late_or_missing_alarm_is_no_detection_within_two_windows(tmp_path: Path) -> None:
    late = counted(tmp_path, ["pass", "pass"], ["pass", "pass", "fail"], 2000)
    seen = late["asked"]["within_2w"]
    assert (seen["count"], seen["total"], seen["low"]) == (0, 1, 0.0)
    assert late["asked"]["missed"] == [f"trial_small-stdlib_{SEED}_permute-15--_2000"]
    assert late["asked"]["never"] == 0
    never = counted(tmp_path, ["pass", "pass"], ["pass", "pass"], 2050)
    assert (never["asked"]["never"], never["other"][0]["trials"]) == (1, 1)


@pytest.mark.parametrize("healthy", [["pass", "warn"], ["fail", "pass"]])
def test_a_trial_that_alarmed_before_its_onset_is_set_apart_and_shown(
    tmp_path: Path, healthy: list[str]
) -> None:
    figures = counted(tmp_path, ["pass", *healthy], ["fail"], 2000)
    row = figures["aligned"][0]
    assert (row["trials"], row["guarded"], row["within_1w"]["total"]) == (1, 1, 0)
    assert figures["all_healthy"]["alarms"] == 1
    assert f"control_small-stdlib_{SEED}" in table.markdown(figures)


def test_a_result_of_another_gate_is_done_again(tmp_path: Path) -> None:
    place, unit = Workplace(tmp_path), Unit("control", CONFIG, SEED)
    put(place, unit, [], gate="spike_v1")
    assert place.load(unit) is None
    put(place, unit, [])
    assert place.load(unit) is not None
    place.result(unit).write_bytes(b'{"unit": ')
    assert place.load(unit) is None


def test_a_finished_battery_does_nothing_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, unit = Workplace(tmp_path), Unit("control", CONFIG, SEED)
    put(place, unit, [])
    work([unit], place, jobs=1)
    assert capsys.readouterr().err == ""


def test_every_kind_is_in_the_table_also_if_none_of_its_trials_is_done(tmp_path: Path) -> None:
    page = table.markdown(gather(plan(quick=False), Workplace(tmp_path)))
    assert all(f"| {kind} |" in page for kind in KINDS)
    assert "0 of 1072 units are done" in page
    assert "reached" not in page


def test_the_table_is_put_between_its_marks_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n", encoding="utf-8")
    table.write(page, "new")
    assert page.read_text() == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="battery"):
        table.write(page, "new")


def test_a_trial_branches_off_its_control_for_real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way with a shorter control: states are left behind, and a fault branches off."""
    from benchmarks.gate import training, units

    place = Workplace(tmp_path)
    monkeypatch.setattr(training, "ITERATIONS", 12)
    monkeypatch.setattr(training, "onsets", {SEED: (6, 8)}.__getitem__)
    control = Unit("control", CONFIG, SEED)
    trial = Unit("trial", CONFIG, SEED, units.NAMED[1].name, 6)
    for unit in (control, trial):
        do(unit, place)
    healthy, broken = (place.load(unit) for unit in (control, trial))
    assert healthy is not None
    assert broken is not None
    assert (healthy["iters"], broken["iters"]) == ([0, 5, 10], [10])
    assert broken["values"]["loss"][0] > healthy["values"]["loss"][2]
