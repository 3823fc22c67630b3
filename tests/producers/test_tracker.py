"""``LedgerTracker`` under a real ``Accelerator``."""

import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from ledger import Ledger, MisuseError
from producers import LedgerTracker
from producers.gates import Plan


@pytest.fixture(autouse=True)
def no_wrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LEDGER_")]:
        monkeypatch.delenv(name)


def events(place: Path, wanted: str) -> list[dict[str, Any]]:
    with Ledger.open(place) as book:
        return [entry.data for entry in book.entries() if entry.type == wanted]


def accelerator(tracker: LedgerTracker, config: dict[str, Any] | None = None) -> Accelerator:
    made = Accelerator(cpu=True, log_with=tracker)
    made.init_trackers("project", config=config)
    return made


def test_what_an_accelerator_logs_becomes_a_run_with_its_checks(tmp_path: Path, plan: Plan) -> None:
    tracker = LedgerTracker(tmp_path / "run", preset=plan, max_iters=9, seed=4)
    made = accelerator(tracker, {"lr": 0.1, "name": "toy", "layers": [1, 2]})
    for step in range(9):
        made.log({"a": torch.tensor(0.5), "b": float(step)}, step=step)
        made.log({"accuracy": 0.25}, step=step)  # a second log of a step belongs to it
    made.end_training()
    place = tmp_path / "run"
    assert [check["iter"] for check in events(place, "gate.checked")] == [4, 8]
    assert events(place, "run.planned")[0]["model"] == {"lr": 0.1, "name": "toy"}
    assert events(place, "run.planned")[0]["seed"] == 4
    assert len(events(place, "metric.observed")) == 18
    assert events(place, "run.finished")[0]["iters"] == 9
    assert events(place, "run.opened")[0]["kind"] == "accelerate"
    assert events(place, "run.closed")[0]["status"] == "success"


def test_logs_that_leave_steps_out_leave_no_window_unchecked(tmp_path: Path, plan: Plan) -> None:
    tracker = LedgerTracker(tmp_path / "run", preset=plan, max_iters=100)
    made = accelerator(tracker)
    made.log({"a": 0.5, "b": 1.0}, step=0)
    made.log({"a": 0.5, "b": 1.0}, step=15)
    made.end_training()
    checks = [check["iter"] for check in events(tmp_path / "run", "gate.checked")]
    assert checks == [4, 8, 12, 16]


def test_a_log_without_a_step_is_of_the_next_one(tmp_path: Path, plan: Plan) -> None:
    made = accelerator(LedgerTracker(tmp_path / "run", preset=plan, max_iters=2))
    made.log({"a": 0.5})
    made.log({"a": 0.5})
    made.end_training()
    assert [data["iter"] for data in events(tmp_path / "run", "metric.observed")] == [0, 1]


def test_what_is_no_number_is_left_out_and_said_once(tmp_path: Path, plan: Plan) -> None:
    made = accelerator(LedgerTracker(tmp_path / "run", preset=plan, max_iters=2))
    with pytest.warns(UserWarning, match="phase: only numbers"):
        made.log({"a": 0.5, "phase": "warm"}, step=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.log({"a": 0.5, "phase": "hot"}, step=1)
    made.end_training()
    assert [data["values"] for data in events(tmp_path / "run", "metric.observed")] == [
        {"a": 0.5},
        {"a": 0.5},
    ]


def test_a_step_that_went_by_is_refused(tmp_path: Path, plan: Plan) -> None:
    made = accelerator(LedgerTracker(tmp_path / "run", preset=plan, max_iters=9))
    made.log({"a": 0.5}, step=5)
    with pytest.raises(MisuseError, match="iteration 2 comes too late"):
        made.log({"a": 0.5}, step=2)
    made.end_training()


def test_the_run_can_be_had_from_the_accelerator(tmp_path: Path, plan: Plan) -> None:
    made = accelerator(LedgerTracker(tmp_path / "run", preset=plan, max_iters=9))
    made.log({"a": 0.5}, step=0)
    run = made.get_tracker("evidence_ledger", unwrap=True)
    run.anchor(2, "other data")
    made.end_training()
    assert events(tmp_path / "run", "gate.anchored") == [{"iter": 2, "reason": "other data"}]
