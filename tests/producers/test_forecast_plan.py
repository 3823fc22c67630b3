"""Which forecast plans there are, and that they survive being recorded."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from ledger import MisuseError
from ledger.events import check as check_payload
from producers.gates import PRESETS, ForecastPlan, View

SOUND = ForecastPlan(
    preset="plan",
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


@pytest.mark.parametrize(
    "change",
    [
        {"window": 0},
        {"window": 3, "block": 2},
        {"block": 0},
        {"block": 3, "window": 6, "metric_interval": 2},
        {"metric_interval": 0},
        {"warmup": -1},
        {"reference": 3},
        {"views": ()},
        {"views": (View("level", 1, 0, 1),)},
        {"views": (View("a", 1, 0, 1), View("a", 2, 0, 1))},
        {"min_errors": 0},
        {"min_errors": 9},
        {"metrics": {"a": "down"}},
        {"metrics": {"a": "stall"}},
        {"metrics": {}},
        {"level": "b"},
        {"metrics": {"a": "rise", "b": "stall"}, "level": "b"},
        {"metrics": dict.fromkeys(map(str, range(65)), "rise")},
        {"window": 257},
        {
            "views": (View("v", 1, 0, 1024),) * 1,
            "metrics": dict.fromkeys("abcdefghijklmnop", "fall"),
        },
        {"level_from": -1},
        {"warn_z": -1.0},
        {"fail_z": math.inf},
        {"warn_z": math.nan},
        {"persistence": 0},
        {"persistence": 2},
        {"policy": "persistence"},
        {"hold": 0},
        {"min_evidence": -1},
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MisuseError, match="gate plan"):
        replace(SOUND, **change)


@pytest.mark.parametrize("numbers", [(0, 0, 1), (1, -1, 1), (1, 0, 0)])
def test_a_view_of_nothing_is_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(MisuseError, match="view 'v'"):
        View("v", *numbers)


def test_a_plan_survives_being_recorded() -> None:
    for plan in (SOUND, *PRESETS.values()):
        recorded = json.loads(json.dumps(plan.as_data()))
        assert type(plan).from_data(recorded) == plan
        payload = {
            "gate": recorded,
            "max_iters": 1,
            "seed": 0,
            "model": {},
            "data": {"name": "none", "sha256": "0" * 64, "bytes": 0},
        }
        check_payload("run.planned", json.dumps(payload).encode())


@pytest.mark.parametrize("member", ["window", "views", "metrics", "engine"])
def test_a_recorded_plan_with_a_member_missing_is_refused(member: str) -> None:
    data = SOUND.as_data()
    del data[member]
    with pytest.raises(MisuseError, match=member):
        ForecastPlan.from_data(data)


def test_a_plan_of_another_engine_is_refused() -> None:
    with pytest.raises(MisuseError, match="forecast_z/2"):
        ForecastPlan.from_data(SOUND.as_data() | {"engine": "forecast_z/2"})
