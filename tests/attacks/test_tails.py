"""Attacks on the end of a ledger, where the next signature would vouch for them.

``threats.md``, *Batches and tails*: each of these is mounted on the files of a
live writer, by someone who can write the file and holds no key.
"""

import hashlib
import multiprocessing
import threading
import time
from pathlib import Path

import pytest
from forge import (
    OWNER,
    RUNNER,
    STORES,
    WRAPPER,
    Forge,
    append_foreign,
    codes,
    cut_to,
    frame,
    lines_of,
    new_book,
    recoveries,
    side_files,
    tamper,
    unframe,
    verdict,
    walk,
)

from ledger import BrokenLinkError, ConflictError, Event, Ledger, LockedError
from ledger.paths import open_store
from ledger.signing import sign_checkpoint


@pytest.fixture(params=STORES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A ledger with a runner and a wrapper, of each store in turn."""
    place = tmp_path / f"book{request.param}"
    new_book(place, (RUNNER, "runner"), (WRAPPER, "wrapper")).close()
    return place


def event(number: int, event_id: str | None = None) -> Event:
    return Event("x.step", "run/1", {"n": number}, event_id)


def forged_tail(path: Path, count: int = 1) -> list[bytes]:
    """Unsigned entries in the runner's name, correctly numbered and linked."""
    forge = Forge.behind(lines_of(path))
    lines = [
        forge.add(RUNNER, "gate.checked", {"decision": "pass"}, signed=False) for _ in range(count)
    ]
    for line in lines:
        append_foreign(path, line)
    return lines


@pytest.mark.parametrize("count", [1, 3])
def test_an_unsigned_entry_in_my_name_is_not_signed_over_by_my_next_append(
    path: Path, count: int
) -> None:
    """The signing oracle: between two appends of one open handle."""
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
        lines = forged_tail(path, count)
        receipt = book.append(event(2))
    entries = walk(path)
    assert not [entry for entry in entries if entry["type"] == "gate.checked"]
    assert entries[receipt.seq]["data"] == {"n": 2}
    assert receipt.seq == entries[-1]["seq"] == 5
    [record] = recoveries(path)
    hashes = [unframe(line[:-1])[1].hex() for line in lines]
    assert (record["entries"], record["hashes"]) == (count, hashes)
    [kept] = side_files(path)
    assert kept.read_bytes() == b"".join(lines)
    assert verdict(path).outcome == "VERIFIED"


def test_a_fresh_writer_does_not_sign_over_an_unsigned_entry_either(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
    forged_tail(path)
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(2))
    assert [entry["type"] for entry in walk(path)][3:] == ["x.step", "ledger.recovered", "x.step"]


def test_another_key_does_not_sign_over_it_either(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book, Ledger.open(path, key=WRAPPER.key) as other:
        book.append(event(1))
        forged_tail(path)
        other.append(event(2))
        book.append(event(3))
    assert len(recoveries(path)) == 1
    assert verdict(path).outcome == "VERIFIED"


def test_a_signature_stripped_from_the_last_entry_stops_the_writer_who_knew_it(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
        strip(path, 3)
        for _ in range(3):
            with pytest.raises(BrokenLinkError):
                book.append(event(2))
    assert ("sig.presence", 3) in codes(path)


def test_a_signature_stripped_from_the_last_entry_stops_a_fresh_writer_too(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
    before = strip(path, 3)
    with pytest.raises(BrokenLinkError), Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(2))
    assert lines_of(path) == before


def test_an_entry_made_unsigned_throughout_stops_the_writer_who_knew_it(path: Path) -> None:
    """Not only the signature goes: ``signed`` says false too, and the hash fits."""
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
        forge = Forge.behind(lines_of(path)[:3])
        cut_to(path, 3)
        append_foreign(path, forge.add(RUNNER, "x.step", {"n": 1}, signed=False))
        for _ in range(2):
            with pytest.raises(BrokenLinkError):
                book.append(event(2))


def strip(path: Path, seq: int) -> list[bytes]:
    """Take the signature off an entry."""
    if path.suffix == ".jsonl":
        lines = lines_of(path)
        raw, digest, _ = unframe(lines[seq][:-1])
        lines[seq] = frame(raw, digest, None)
        path.write_bytes(b"".join(lines))
    else:
        tamper(path, ("UPDATE entries SET sig = NULL WHERE seq = ?", (seq,)))
    return lines_of(path)


@pytest.mark.parametrize("how", ["garbage", "another key", "nobody"])
def test_a_foreign_tail_with_a_signature_that_is_not_ours_stops_the_writer(
    path: Path, how: str
) -> None:
    """A valid continuation needs a valid signature of a key that may sign."""
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
        forge = Forge.behind(lines_of(path))
        if how == "garbage":
            line = forge.add(RUNNER, sig=bytes(64))
        elif how == "another key":
            line = forge.add(RUNNER, signs=WRAPPER)
        else:
            line = forge.add(OWNER, key="0" * 64)
        append_foreign(path, line)
        before = lines_of(path)
        for _ in range(2):
            with pytest.raises(BrokenLinkError):
                book.append(event(2))
    assert lines_of(path) == before


def test_a_forged_signature_covered_by_a_good_one_stops_the_writer_who_was_there(
    path: Path,
) -> None:
    """The holder of a lesser key plants an entry in the owner's name, then signs behind it."""
    with Ledger.open(path, key=OWNER.key) as book:
        book.append(event(1))
        forge = Forge.behind(lines_of(path))
        append_foreign(path, forge.add(OWNER, "governance.approved", sig=bytes(64)))
        append_foreign(path, forge.add(RUNNER, "x.step"))
        with pytest.raises(BrokenLinkError):
            book.append(event(2))
    assert ("sig.invalid", 4) in codes(path)


def test_a_garbage_signature_under_a_torn_end_stops_every_append_and_not_only_the_first(
    path: Path,
) -> None:
    forge = Forge.behind(lines_of(path))
    append_foreign(path, forge.add(RUNNER, sig=bytes(64)))
    append_foreign(path, forge.add(RUNNER, signed=False))
    try:
        book = Ledger.open(path, key=WRAPPER.key)
    except BrokenLinkError:
        return
    with book:
        for _ in range(3):
            with pytest.raises(BrokenLinkError):
                book.append(event(1))


def test_a_valid_continuation_by_another_writer_is_taken_in(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book, Ledger.open(path, key=WRAPPER.key) as other:
        book.append(event(1))
        other.append_batch([event(2), event(3)])
        assert book.append(event(4)).seq == 6
    assert len(walk(path)) == 7


def test_a_batch_cut_in_the_middle_is_set_aside_before_anything_is_signed(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append_batch([event(number) for number in range(5)])
    whole = lines_of(path)
    cut_to(path, 6)
    with Ledger.open(path, key=WRAPPER.key) as book:
        receipt = book.append(event(9))
    entries = walk(path)
    assert [entry["data"].get("n") for entry in entries[3:]] == [None, 9]
    assert receipt.seq == 4
    assert recoveries(path)[0]["entries"] == 3
    assert side_files(path)[0].read_bytes() == b"".join(whole[3:6])


def test_a_batch_cut_from_under_its_writer_stops_that_writer(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append_batch([event(number) for number in range(5)])
        cut_to(path, 6)
        for _ in range(2):
            with pytest.raises(BrokenLinkError):
                book.append(event(9))


def test_no_checkpoint_is_signed_inside_a_batch(path: Path, tmp_path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append_batch([event(number) for number in range(5)])
    cut_to(path, 6)
    with Ledger.open(path, key=OWNER.key) as book:
        with pytest.raises(BrokenLinkError, match="batch"):
            sign_checkpoint(book, memory=tmp_path / "memory")
        assert not list(tmp_path.glob("memory/*"))
        book.append(event(9))
        assert f"\n{book.size}\n" in sign_checkpoint(book, memory=tmp_path / "memory")


def test_a_repeat_is_not_answered_from_an_unfinished_batch(path: Path) -> None:
    """The entry is there, but no signature vouches for it: a receipt would be a lie."""
    with Ledger.open(path, key=RUNNER.key) as book:
        first = book.append_batch([event(1, "mine"), event(2)])[0]
    cut_to(path, 4)
    with Ledger.open(path, key=RUNNER.key) as book:
        again = book.append(event(1, "mine"))
    assert again.hash != first.hash
    entries = walk(path)
    assert [entry["id"] for entry in entries].count("mine") == 1
    assert entries[again.seq]["hash"] == again.hash


def test_a_repeat_is_not_answered_from_an_entry_planted_in_my_name(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
        forge = Forge.behind(lines_of(path))
        append_foreign(
            path,
            forge.add(RUNNER, "x.step", {"n": 2}, signed=False, subject="run/1", id="planted"),
        )
        receipt = book.append(event(2, "planted"))
    assert walk(path)[receipt.seq]["signed"] is True


def test_a_repeat_by_another_key_is_a_conflict(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book, Ledger.open(path, key=WRAPPER.key) as other:
        book.append(event(1, "mine"))
        with pytest.raises(ConflictError):
            other.append(event(1, "mine"))


def _write_slowly(path: Path, ready: "multiprocessing.synchronize.Event", pause: float) -> None:
    """Hold the lock in the middle of a batch: the unsigned half is in the file already."""
    store = open_store(path, timeout=5, read_only=False)
    forge = Forge.behind(lines_of(path))
    lines = [forge.add(WRAPPER, "x.live", signed=False), forge.add(WRAPPER, "x.live")]
    with store.exclusive():
        for line in lines:
            if path.suffix == ".jsonl":
                append_foreign(path, line)
            ready.set()
            time.sleep(pause)
    if path.suffix != ".jsonl":  # a database shows nothing before it is whole
        for line in lines:
            append_foreign(path, line)


def test_a_live_batch_of_another_writer_is_waited_for_and_not_discarded(path: Path) -> None:
    context = multiprocessing.get_context("spawn" if threading.active_count() > 1 else "fork")
    ready = context.Event()
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
        writer = context.Process(target=_write_slowly, args=(path, ready, 0.3))
        writer.start()
        try:
            assert ready.wait(20)
            begun = time.monotonic()
            book.append(event(2))
            waited = time.monotonic() - begun
        finally:
            writer.join()
    assert waited > 0.2
    if path.suffix == ".jsonl":
        assert [entry["type"] for entry in walk(path)][4:] == ["x.live", "x.live", "x.step"]
    assert not side_files(path)


def test_a_writer_that_never_lets_go_is_reported_and_nothing_is_lost(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
    store = open_store(path, timeout=5, read_only=False)
    with store.exclusive(), pytest.raises(LockedError):
        Ledger.open(path, key=WRAPPER.key, timeout=0.2)
    store.close()
    with Ledger.open(path, key=WRAPPER.key, timeout=0.2) as book:
        book.append(event(2))
    assert len(walk(path)) == 5


def test_a_torn_line_is_set_aside_bytewise(tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    with new_book(path, (RUNNER, "runner")) as book:
        book.append(event(1))
        whole = path.read_bytes()
        torn = Forge.behind(lines_of(path)).add(RUNNER)[:-7]
        path.write_bytes(whole + torn)
        book.append(event(2))
    kept = side_files(path)[0].read_bytes()
    [record] = recoveries(path)
    assert kept.removesuffix(b"\n") == torn
    assert (record["entries"], record["bytes"]) == (0, len(kept))
    assert record["sha256"] == hashlib.sha256(kept).hexdigest()


def test_a_key_without_the_right_to_record_a_recovery_does_not_recover(tmp_path: Path) -> None:
    from ledger import KeyRefusedError

    path = tmp_path / "book.jsonl"
    roles = {"owner": ["*"], "mute": ["x.*"]}
    with Ledger.create(path, name="demo", key=OWNER.key, roles=roles) as book:
        book.authorize(RUNNER.public, name="runner", roles=["mute"])
    torn = Forge.behind(lines_of(path)).add(RUNNER)[:-7]
    with path.open("ab") as file:
        file.write(torn)
    before = path.read_bytes()
    with Ledger.open(path, key=RUNNER.key) as book, pytest.raises(KeyRefusedError):
        book.append(event(1))
    assert path.read_bytes() == before
    with Ledger.open(path, key=OWNER.key) as book:
        book.append(event(1))
    assert len(recoveries(path)) == 1
