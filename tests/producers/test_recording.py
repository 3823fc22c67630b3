"""A gate and a session together: what the gate saw is what is on record, and in its order."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ledger import Key, Ledger, MisuseError
from producers.gates import Plan, preset
from producers.gates.recording import GatedRun
from producers.runs import Session

PLANNED = {
    "max_iters": 12,
    "seed": 0,
    "model": {},
    "data": {"name": "none", "sha256": "0" * 64, "bytes": 0},
}
VALUES = {"a": 0.5, "b": 1.0}


@pytest.fixture
def session(capsule: Path, key: Key) -> Session:
    book = Ledger.open(capsule, key=key)
    return Session(book, "r1", capsule)


def told(session: Session) -> list[tuple[str, dict[str, Any]]]:
    """Return what is durable, without waiting for anything."""
    with Ledger.open(session.outdir) as book:
        return [(e.type, e.data) for e in book.entries() if e.subject == "run/r1"]


def types(session: Session) -> list[str]:
    return [event_type for event_type, _ in told(session)]


def begun(session: Session, plan: Plan) -> GatedRun:
    run = GatedRun(session, plan)
    run.planned(PLANNED)
    return run


def feed(run: GatedRun, first: int, stop: int, values: Mapping[str, float] = VALUES) -> list[str]:
    decisions: list[str] = []
    for i in range(first, stop):
        run.observe(i, values)
        check = run.check(i + 1)
        if check is not None:
            decisions.append(check.decision)
    return decisions


def test_a_check_is_on_disk_when_it_is_returned_behind_all_that_it_judges(
    session: Session, plan: Plan
) -> None:
    with session:
        run = begun(session, plan)
        for i in range(plan.window):
            run.observe(i, VALUES)
        check = run.check(plan.window)
        assert check is not None
        assert run.last == check
        assert types(session) == ["run.planned"] + ["metric.observed"] * 4 + ["gate.checked"]
        assert told(session)[-1][1]["iter"] == check.iter == plan.window


def test_the_plan_is_recorded_with_its_gate_and_cannot_be_changed(
    session: Session, plan: Plan
) -> None:
    with session:
        run = begun(session, plan)
        assert told(session)[0][1]["gate"]["window"] == plan.window
        with pytest.raises(MisuseError, match="cannot be changed"):
            run.planned(PLANNED)


def test_a_plan_that_names_another_gate_is_refused(session: Session, plan: Plan) -> None:
    other = preset("short_v0").as_data()
    with session, pytest.raises(MisuseError, match="another gate"):
        GatedRun(session, plan).planned({**PLANNED, "gate": other})
    assert types(session) == []


def acts_of(run: GatedRun) -> dict[str, Callable[[], object]]:
    return {
        "observe": lambda: run.observe(0, VALUES),
        "check": lambda: run.check(4),
        "anchor": lambda: run.anchor(0, "new data"),
        "inject": lambda: run.inject(0, "random"),
        "saved": lambda: run.saved(1, "w", sha256="0" * 64, size=1),
        "finish": lambda: run.finish(0, None),
    }


@pytest.mark.parametrize("act", ["observe", "check", "anchor", "inject", "saved", "finish"])
def test_nothing_comes_before_the_plan(session: Session, plan: Plan, act: str) -> None:
    acts = acts_of(GatedRun(session, plan))
    with session, pytest.raises(MisuseError, match="commits to its plan first"):
        acts[act]()
    assert types(session) == []


def test_what_the_gate_does_not_use_is_recorded_only_if_the_loop_asks(
    session: Session,
) -> None:
    with session:
        run = GatedRun(session, preset("tuned_v0"))
        run.planned(PLANNED)
        for i in range(6):
            run.observe(i, {"loss": float(i)})
        run.observe(6, {"loss": 6.0}, even_unused=True)
    assert [data["iter"] for kind, data in told(session) if kind == "metric.observed"] == [0, 5, 6]
    assert run.wants(10)
    assert not run.wants(11)


def test_a_window_that_was_passed_over_is_refused_and_nothing_is_recorded_behind_it(
    session: Session, plan: Plan
) -> None:
    with session:
        run = begun(session, plan)
        for i in range(plan.window):
            run.observe(i, VALUES)
        with pytest.raises(MisuseError):
            run.observe(plan.window, VALUES)
        with pytest.raises(MisuseError, match="missing"):
            run.check(plan.window + 1)
    assert types(session).count("metric.observed") == plan.window


def test_iterations_go_forward(session: Session, plan: Plan) -> None:
    with session:
        run = begun(session, plan)
        run.observe(2, VALUES)
        run.observe(2, {"a": 1.0})  # more of the same iteration
        with pytest.raises(MisuseError, match="iteration 1 comes too late"):
            run.observe(1, VALUES)
        run.check(4)
        with pytest.raises(MisuseError, match="iteration 3 comes too late"):
            run.observe(3, VALUES, even_unused=True)
    assert types(session).count("metric.observed") == 2


def test_a_check_that_is_asked_for_twice_is_made_once(session: Session, plan: Plan) -> None:
    with session:
        run = begun(session, plan)
        assert feed(run, 0, 4)
        assert run.check(4) is None
        run.finish(4, 0.0)
    assert types(session).count("gate.checked") == 1


def test_finishing_makes_the_check_that_is_due(session: Session, plan: Plan) -> None:
    with session:
        run = begun(session, plan)
        for i in range(plan.window):
            run.observe(i, VALUES)
        run.finish(plan.window, 2.5, stopped="the gate said fail")
        assert run.finished
    assert types(session)[-2:] == ["gate.checked", "run.finished"]
    assert told(session)[-1][1]["stopped"] == "the gate said fail"
    assert told(session)[-1][1]["final_loss"] == 2.5


def test_a_loop_that_leaves_iterations_out_can_catch_up(session: Session, plan: Plan) -> None:
    with session:
        run = begun(session, plan)
        run.observe(0, VALUES)
        checks = run.advance(11)
        assert [check.iter for check in checks] == [4, 8]
        assert [check.iter for check in run.advance(12)] == [12]
        run.observe(12, VALUES)
        with pytest.raises(MisuseError, match="typing error"):
            run.advance(10**15)
        assert run.done == 13


def test_a_resumed_run_begins_with_the_first_whole_window(session: Session, plan: Plan) -> None:
    with session:
        run = begun(session, plan)
        run.resumed(6, "r0", sha256="1" * 64, head_size=3, head_hash="2" * 64)
        assert run.done == 6
        assert run.advance(7) == ()
        decisions = feed(run, 7, 12)
        run.finish(12, None)
    assert types(session)[:2] == ["run.planned", "run.resumed"]
    assert decisions == ["skip"]
    assert [d["iter"] for kind, d in told(session) if kind == "gate.checked"] == [12]


def test_a_run_is_resumed_before_its_first_observation(session: Session, plan: Plan) -> None:
    with session:
        run = begun(session, plan)
        run.observe(0, VALUES)
        with pytest.raises(MisuseError, match="before its first observation"):
            run.resumed(6, "r0", sha256="1" * 64, head_size=3, head_hash="2" * 64)
    assert "run.resumed" not in types(session)


def test_faults_anchors_and_saved_weights_are_recorded_with_all_that_was_said(
    session: Session, plan: Plan
) -> None:
    with session:
        run = begun(session, plan)
        run.inject(2, "lr", factor=30.0)
        run.anchor(3, "other data")
        head = run.saved(3, "checkpoint-3", sha256="3" * 64, size=77)
        events = told(session)
        with Ledger.open(session.outdir) as book:
            assert (head.size, head.hash) == (book.head.size, book.head.hash)
    assert events[1:] == [
        ("fault.injected", {"iter": 2, "kind": "lr", "fraction": 1.0, "factor": 30.0}),
        ("gate.anchored", {"iter": 3, "reason": "other data"}),
        ("run.saved", {"iter": 3, "path": "checkpoint-3", "sha256": "3" * 64, "bytes": 77}),
    ]


def test_a_value_that_is_not_finite_is_recorded_and_fails_the_gate(
    session: Session, plan: Plan
) -> None:
    with session:
        run = begun(session, plan)
        feed(run, 0, 3)
        run.observe(3, {"a": math.nan, "b": math.inf})
        check = run.check(4)
    assert check is not None
    assert check.decision == "fail"
    last = [data for kind, data in told(session) if kind == "metric.observed"][-1]
    assert last["values"] == {"a": "NaN", "b": "Infinity"}


def test_the_overhead_is_the_time_inside_and_counts_no_moment_twice(
    session: Session, plan: Plan
) -> None:
    with session:
        run = begun(session, plan)
        before, begun_at = run.overhead_s, time.perf_counter()
        with run.measuring(), run.measuring():
            time.sleep(0.05)
        inside, elapsed = run.overhead_s - before, time.perf_counter() - begun_at
        time.sleep(0.2)  # the training's own time
        run.finish(0, None)
    assert 0.05 <= inside <= elapsed
    assert before + inside <= told(session)[-1][1]["overhead_s"] <= run.overhead_s + 1e-6
    assert run.overhead_s < time.perf_counter() - begun_at - 0.2 + before
