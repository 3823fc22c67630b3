"""The runner's side: attach once, record, and be refused what is not a runner's."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger import Key, KeyRefusedError, Ledger, MisuseError
from producers.runs import Session, attach
from producers.runs.session import is_witnessed

SEED = bytes(range(1, 33))


def handover(capsule: Path, seed: bytes = SEED) -> dict[str, str]:
    reader, writer = os.pipe()
    os.write(writer, seed)
    os.close(writer)
    return {
        "LEDGER_KEY_FD": str(reader),
        "LEDGER_PATH": str(capsule / "ledger.sqlite"),
        "LEDGER_RUN_ID": "r1",
        "LEDGER_OUTDIR": str(capsule),
    }


@pytest.fixture
def authorized(capsule: Path, key: Key) -> Path:
    with Ledger.open(capsule, key=key) as book:
        book.authorize(Key.from_seed(SEED, name="r").public, name="runner-r1", roles=["runner"])
    return capsule


def recorded(capsule: Path) -> list[tuple[str, dict[str, object]]]:
    with Ledger.open(capsule) as book:
        return [(e.type, e.data) for e in book.entries() if not e.type.startswith(("key", "led"))]


CHECK = {
    "iter": 4,
    "decision": "skip",
    "audit": {
        "evaluated": False,
        "reason": "warmup",
        "policy": "persistence",
        "worst_DW": None,
        "eps_eff": None,
        "per_metric_tv": {},
        "evidence_total": 0,
        "min_evidence": 8,
    },
    "evidence": {},
}
HEAD = {"ledger": "1" * 64, "size": 7, "hash": "2" * 64}
RESUMED = {"from_run": "r0", "iter": 4, "sha256": "3" * 64, "head_size": 9, "head_hash": "4" * 64}
RANK = {"rank": 1, "world_size": 2, "path": "ranks/1/ledger.jsonl", **HEAD}


def test_a_check_is_on_disk_when_it_returns_and_what_came_before_it_too(authorized: Path) -> None:
    with attach(handover(authorized)) as session:
        for i in range(4):
            session.observe(i, {"a": 0.0, "b": 1.0})
        session.check(CHECK)
        told = [event_type for event_type, _ in recorded(authorized)]
    assert told == ["metric.observed"] * 4 + ["gate.checked"]


def calls_of(session: Session) -> dict[str, Callable[[], object]]:
    return {
        "run.resumed": lambda: session.resumed(RESUMED),
        "gate.anchored": lambda: session.anchor(5, "other data"),
        "fault.injected": lambda: session.inject(6, "lr", factor=30.0),
        "run.saved": lambda: session.saved(7, "checkpoint-7", sha256="5" * 64, size=12),
        "run.rank": lambda: session.rank(RANK),
        "run.finished": lambda: session.finish(8, 0.5, overhead_s=0.25, stopped="asked"),
    }


def test_all_but_metrics_is_on_disk_when_the_call_returns(authorized: Path) -> None:
    with attach(handover(authorized)) as session:
        for event_type, call in calls_of(session).items():
            call()
            assert recorded(authorized)[-1][0] == event_type
    assert [data for _, data in recorded(authorized)] == [
        RESUMED,
        {"iter": 5, "reason": "other data"},
        {"iter": 6, "kind": "lr", "fraction": 1.0, "factor": 30.0},
        {"iter": 7, "path": "checkpoint-7", "sha256": "5" * 64, "bytes": 12},
        RANK,
        {"iters": 8, "final_loss": 0.5, "overhead_s": 0.25, "stopped": "asked"},
    ]


def test_a_save_says_where_the_ledger_stands_with_it(authorized: Path) -> None:
    with attach(handover(authorized)) as session:
        head = session.saved(7, "checkpoint-7", sha256="5" * 64, size=12)
        with Ledger.open(authorized) as book:
            (entry,) = book.entries(head.size - 1, head.size)
            assert head == book.head
    assert entry.type == "run.saved"


def test_numbers_that_are_not_finite_are_recorded_by_name(authorized: Path) -> None:
    with attach(handover(authorized)) as session:
        session.observe(0, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.5})
        session.finish(1, math.nan)
    assert [data for _, data in recorded(authorized)] == [
        {"iter": 0, "values": {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 1.5}},
        {"iters": 1, "final_loss": "NaN", "overhead_s": None, "stopped": None},
    ]


def test_what_was_recorded_is_kept_when_the_runner_raises(authorized: Path) -> None:
    session = attach(handover(authorized))
    session.observe(0, {"a": 1.0})
    with pytest.raises(ZeroDivisionError), session:
        session.observe(1, {"a": 1 / 0})
    assert len(recorded(authorized)) == 1


def test_the_key_can_be_taken_once(authorized: Path) -> None:
    environment = handover(authorized)
    again = dict(environment)
    attach(environment).close()
    assert "LEDGER_KEY_FD" not in environment
    with pytest.raises(MisuseError, match="LEDGER_KEY_FD not set"):
        attach(environment)
    with pytest.raises(MisuseError, match="cannot be read"):
        attach(again)


@pytest.mark.parametrize("seed", [b"", b"short", bytes(33)])
def test_a_pipe_that_holds_no_key_is_refused(authorized: Path, seed: bytes) -> None:
    with pytest.raises(MisuseError, match="taken already"):
        attach(handover(authorized, seed))


def test_a_program_can_tell_whether_a_wrapper_started_it(authorized: Path) -> None:
    environment = handover(authorized)
    assert is_witnessed(environment)
    attach(environment).close()
    assert not is_witnessed(environment)
    assert not is_witnessed({})


def test_a_program_that_was_not_started_by_the_wrapper_is_told_how() -> None:
    with pytest.raises(MisuseError, match="start it with: ledger run"):
        attach({})


def test_a_runner_may_not_record_what_the_wrapper_records(authorized: Path) -> None:
    from ledger import Event

    key = Key.from_seed(SEED, name="r")
    with Ledger.open(authorized, key=key) as book:
        for event_type in ("run.opened", "run.closed", "artifact.recorded", "key.authorized"):
            with pytest.raises((KeyRefusedError, MisuseError)):
                book.append(Event(event_type, "run/r1", {}))


def test_a_metric_that_is_no_number_is_refused_where_it_is_given(authorized: Path) -> None:
    with attach(handover(authorized)) as session, pytest.raises((TypeError, ValueError)):
        session.observe(0, {"a": "high"})  # type: ignore[dict-item]


def test_recording_tells_how_long_it_held_the_training_up(authorized: Path) -> None:
    with attach(handover(authorized)) as session:
        assert isinstance(session, Session)
        assert session.waited == 0.0
