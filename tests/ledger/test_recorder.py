"""The recorder: nobody waits, nothing is lost without a word."""

import threading
import time
from pathlib import Path

import pytest
from forge import OWNER, RUNNER, STORES, cut_to, new_book, verdict, walk

from ledger import (
    Event,
    KeyRefusedError,
    Ledger,
    LedgerError,
    MisuseError,
    OversizeError,
    Recorder,
    StoreError,
)


@pytest.fixture(params=STORES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / f"book{request.param}"
    new_book(place, (RUNNER, "runner")).close()
    return place


def numbers(path: Path) -> list[int]:
    return [entry["data"]["n"] for entry in walk(path) if entry["type"] == "x.step"]


def test_everything_recorded_is_there_in_order_when_the_recorder_is_closed(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        with Recorder(book, linger=0.01) as recorder:
            for number in range(500):
                recorder.record("x.step", "run/1", {"n": number})
        assert book.size == 502
    assert numbers(path) == list(range(500))
    assert verdict(path).outcome == "VERIFIED"


def test_recording_does_not_wait_for_the_disk(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        recorder = Recorder(book, linger=60)
        with book.locked():
            recorder.record("x.step", "run/1", {"n": 0})
        assert numbers(path) == []
        recorder.close()
    assert numbers(path) == [0]


def test_a_flush_returns_when_all_is_durable(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book, Recorder(book, linger=60) as recorder:
        for number in range(5):
            recorder.record("x.step", "run/1", {"n": number})
            recorder.flush()
            assert numbers(path) == list(range(number + 1))
        recorder.flush()


def test_what_lingers_is_appended_after_a_while(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book, Recorder(book, linger=0.05) as recorder:
        recorder.record("x.step", "run/1", {"n": 1})
        deadline = time.monotonic() + 10
        while not numbers(path):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_gathered_events_share_a_signature(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book, Recorder(book, linger=60) as recorder:
        for number in range(50):
            recorder.record("x.step", "run/1", {"n": number})
        recorder.flush()
    assert sum(entry["signed"] for entry in walk(path)[2:]) <= 2


def test_a_full_queue_makes_the_caller_wait_and_says_so(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        recorder = Recorder(book, linger=60, capacity=3)
        lock = book.locked()
        lock.__enter__()
        done = threading.Event()

        def record() -> None:
            for number in range(12):
                recorder.record("x.step", "run/1", {"n": number})
            done.set()

        thread = threading.Thread(target=record)
        thread.start()
        assert not done.wait(0.2)
        lock.__exit__(None, None, None)
        assert done.wait(20)
        thread.join()
        recorder.close()
    assert recorder.waited > 0.1
    assert numbers(path) == list(range(12))


@pytest.mark.parametrize(
    ("event_type", "data", "error"),
    [
        ("x.step", {"n": float("nan")}, MisuseError),
        ("x.step", {"n": "x" * 70_000}, OversizeError),
        ("Bad", {}, MisuseError),
        ("gate.checked", {"decision": "maybe"}, MisuseError),
        ("governance.approved", {}, KeyRefusedError),
        ("ledger.created", {}, LedgerError),
    ],
)
def test_what_cannot_be_recorded_is_refused_at_once_and_costs_nothing_else(
    path: Path, event_type: str, data: dict[str, object], error: type[LedgerError]
) -> None:
    """One bad event must not take the good ones with it that were gathered before."""
    with Ledger.open(path, key=RUNNER.key) as book, Recorder(book, linger=60) as recorder:
        recorder.record("x.step", "run/1", {"n": 1})
        with pytest.raises(error):
            recorder.record(event_type, "run/1", data)
        recorder.record("x.step", "run/1", {"n": 2})
    assert numbers(path) == [1, 2]


def test_after_the_end_nothing_is_accepted(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        recorder = Recorder(book)
        recorder.record("x.step", "run/1", {"n": 1})
        recorder.close()
        for _ in range(2):
            with pytest.raises(LedgerError):
                recorder.record("x.step", "run/1", {"n": 2})
        recorder.close()
        recorder.flush()
    assert numbers(path) == [1]


def test_a_failed_append_is_told_to_everyone_from_then_on(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(Event("x.before", "", {}))
        recorder = Recorder(book, linger=60)
        cut_to(path, 2)  # the ledger is no longer the one that the writer knew
        recorder.record("x.step", "run/1", {"n": 1})
        for use in (
            recorder.flush,
            recorder.flush,
            lambda: recorder.record("x.step", "run/1", {"n": 2}),
            recorder.close,
        ):
            with pytest.raises(LedgerError, match="1 events"):
                use()
    assert numbers(path) == []


def test_a_key_revoked_while_recording_is_told_as_such(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book, Ledger.open(path, key=OWNER.key) as owner:
        recorder = Recorder(book, linger=60)
        recorder.record("x.step", "run/1", {"n": 1})
        recorder.flush()
        owner.revoke(RUNNER.id, reason="left")
        recorder.record("x.step", "run/1", {"n": 2})
        with pytest.raises(KeyRefusedError):
            recorder.flush()
        with pytest.raises(KeyRefusedError):
            recorder.close()
    assert numbers(path) == [1]


class Breaking(Ledger):
    """A ledger whose appends fail in a way that nobody foresaw."""

    def append_drafts(self, *_: object, **__: object) -> list:  # type: ignore[override,type-arg]
        raise ZeroDivisionError("unforeseen")


def test_an_error_that_nobody_foresaw_leaves_nobody_waiting(path: Path) -> None:
    with Breaking.open(path, key=RUNNER.key) as book:
        recorder = Recorder(book, linger=60, capacity=2)

        def record_many() -> None:
            for number in range(10):
                recorder.record("x.step", "run/1", {"n": number})

        with pytest.raises(StoreError, match="unforeseen"):
            record_many()
        with pytest.raises(StoreError):
            recorder.flush()
        with pytest.raises(StoreError):
            recorder.close()


def test_what_was_recorded_is_kept_when_the_block_raises(path: Path) -> None:
    def record_and_raise(book: Ledger) -> None:
        with Recorder(book, linger=60) as recorder:
            recorder.record("x.step", "run/1", {"n": 1})
            raise ZeroDivisionError

    with Ledger.open(path, key=RUNNER.key) as book, pytest.raises(ZeroDivisionError):
        record_and_raise(book)
    assert numbers(path) == [1]


def test_more_than_one_batch_is_appended_in_order(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        with Recorder(book, linger=60, capacity=20_000) as recorder:
            for number in range(9000):
                recorder.record("x.step", "run/1", {"n": number})
        assert book.size == 9002
    assert numbers(path) == list(range(9000))


def test_threads_record_at_once(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book, Recorder(book, linger=0.01) as recorder:

        def work(name: int) -> None:
            for number in range(100):
                recorder.record("x.step", f"thread/{name}", {"n": number})

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name in range(4):
        told = [e["data"]["n"] for e in walk(path) if e["subject"] == f"thread/{name}"]
        assert told == list(range(100))
