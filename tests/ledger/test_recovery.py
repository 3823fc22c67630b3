"""What a crash left at the end: moved aside, recorded, never erased, whatever dies on the way."""

import hashlib
from pathlib import Path

import pytest
from forge import (
    OWNER,
    RUNNER,
    STORES,
    WRAPPER,
    Forge,
    append_foreign,
    cut_to,
    lines_of,
    new_book,
    recoveries,
    side_files,
    unframe,
    verdict,
    walk,
)

from ledger import Event, Ledger, LedgerError, StoreError
from ledger.recovery import pending_path

FRAGMENT = b'{"entry":{"v":1,"ledger":"ab'


@pytest.fixture(params=STORES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / f"book{request.param}"
    new_book(place, (RUNNER, "runner"), (WRAPPER, "wrapper")).close()
    return place


def event(number: int = 1) -> Event:
    return Event("x.step", "run/1", {"n": number})


def tear(path: Path, count: int = 2) -> list[bytes]:
    """Leave an unfinished batch of the runner's at the end."""
    forge = Forge.behind(lines_of(path))
    lines = [forge.add(RUNNER, "x.torn", signed=False) for _ in range(count)]
    append_foreign(path, *lines)
    return lines


def hash_of(line: bytes) -> str:
    return unframe(line.rstrip(b"\n"))[1].hex()


def check(path: Path, torn: list[bytes]) -> None:
    """The torn entries are on record once, kept once, and gone from the ledger."""
    records = recoveries(path)
    assert [digest for data in records for digest in data["hashes"]] == [*map(hash_of, torn)]
    [side] = side_files(path)
    content = side.read_bytes()
    assert content == b"".join(torn)
    for data in records:
        assert data["side_file"] == side.name
        assert data["sha256"] == hashlib.sha256(content).hexdigest()
        assert (data["bytes"], data["entries"]) == (len(content), len(torn))
    assert "x.torn" not in {entry["type"] for entry in walk(path)}
    assert verdict(path).outcome == "VERIFIED"


def test_an_unfinished_batch_is_recovered_by_the_next_append(path: Path) -> None:
    torn = tear(path)
    with Ledger.open(path, key=RUNNER.key) as book:
        assert book.append(event()).seq == 4
        assert book.append(event()).seq == 5
    check(path, torn)


def test_only_an_append_recovers(path: Path) -> None:
    """Looking at a torn ledger changes nothing: the next writer may still be at work."""
    tear(path)
    before = lines_of(path)
    with Ledger.open(path) as book:
        assert book.size == 5
    with Ledger.open(path, key=RUNNER.key) as book:
        book.refresh()
    assert lines_of(path) == before
    assert not side_files(path)


def test_the_recovery_stands_before_the_event_that_found_it(path: Path) -> None:
    tear(path)
    with Ledger.open(path, key=WRAPPER.key) as book:
        book.append_batch([event(1), event(2)])
    kinds = [(entry["type"], entry["signed"]) for entry in walk(path)[3:]]
    assert kinds == [("ledger.recovered", False), ("x.step", False), ("x.step", True)]


def test_many_torn_entries_are_recorded_in_parts(path: Path) -> None:
    torn = tear(path, 1700)
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event())
    check(path, torn)
    parts = [(data["part"], data["parts"], len(data["hashes"])) for data in recoveries(path)]
    assert parts == [(1, 3, 800), (2, 3, 800), (3, 3, 100)]


def test_dying_between_the_copy_and_the_cut_records_once(path: Path) -> None:
    torn = tear(path)
    pending_path(path).write_bytes(b"".join(torn))
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event())
    check(path, torn)


def test_dying_between_the_cut_and_the_record_records_once(path: Path) -> None:
    torn = tear(path)
    pending_path(path).write_bytes(b"".join(torn))
    cut_to(path, 3)
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event())
        book.append(event())
    check(path, torn)


@pytest.mark.parametrize("other", [RUNNER, WRAPPER, OWNER], ids=lambda key: key.name)
def test_dying_between_the_record_and_the_final_name_lets_every_key_go_on(
    path: Path,
    other,  # noqa: ANN001 - a Signer
) -> None:
    torn = tear(path)
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event())
    [side] = side_files(path)
    side.rename(pending_path(path))
    with Ledger.open(path, key=other.key) as book:
        assert book.append(event()).seq == 5
    check(path, torn)


def test_a_crash_of_the_recovery_itself_is_recovered_too(path: Path) -> None:
    """Cut already, not recorded, and a second batch torn behind it."""
    first = tear(path)
    pending_path(path).write_bytes(b"".join(first))
    cut_to(path, 3)
    second = tear(path, 3)
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event())
    check(path, [*first, *second])


def test_a_recovery_recorded_but_not_renamed_and_torn_again_loses_nothing(path: Path) -> None:
    first = tear(path)
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event())
    [side] = side_files(path)
    side.rename(pending_path(path))
    second = tear(path, 3)
    with Ledger.open(path, key=WRAPPER.key) as book:
        book.append(event())
    recorded = {digest for data in recoveries(path) for digest in data["hashes"]}
    assert recorded == {*map(hash_of, [*first, *second])}
    kept = b"".join(file.read_bytes() for file in side_files(path))
    assert all(line in kept for line in [*first, *second])
    assert not pending_path(path).exists()
    assert verdict(path).outcome == "VERIFIED"


def test_two_recoveries_have_two_side_files(path: Path) -> None:
    for count in (1, 2):
        tear(path, count)
        with Ledger.open(path, key=RUNNER.key) as book:
            book.append(event())
    assert len(side_files(path)) == 2
    assert [data["entries"] for data in recoveries(path)] == [1, 2]


def test_a_torn_line_behind_a_torn_batch_is_kept_with_it(tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    new_book(path, (RUNNER, "runner")).close()
    torn = tear(path)
    append_foreign(path, FRAGMENT)
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event())
    [record] = recoveries(path)
    content = side_files(path)[0].read_bytes()
    assert content.startswith(b"".join(torn) + FRAGMENT)
    assert record["hashes"] == [*map(hash_of, torn)]
    assert record["bytes"] == len(content)


def test_a_fragment_that_waits_does_not_swallow_what_is_torn_after_it(tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    new_book(path, (RUNNER, "runner")).close()
    append_foreign(path, FRAGMENT)
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event())
    [side] = side_files(path)
    side.rename(pending_path(path))
    cut_to(path, 2)  # the crash came before the record was written
    torn = tear(path)
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event())
    assert [digest for data in recoveries(path) for digest in data["hashes"]] == [
        *map(hash_of, torn)
    ]


def test_a_tear_of_a_single_append_at_every_byte_is_recovered(tmp_path: Path) -> None:
    """A power cut at every prefix of the last line that was not yet acknowledged."""
    path = tmp_path / "book.jsonl"
    with new_book(path, (RUNNER, "runner")) as book:
        book.append(Event("x.base", "", {}))
    whole = path.read_bytes()
    line = Forge.behind(lines_of(path)).add(RUNNER, "x.step", {})
    for cut in range(1, len(line), 7):
        for file in side_files(path):
            file.unlink()
        path.write_bytes(whole + line[:cut])
        with Ledger.open(path, key=RUNNER.key) as book:
            book.append(event(cut))
        assert path.read_bytes().startswith(whole)
        assert recoveries(path)[0]["entries"] == 0
        [side] = side_files(path)
        assert side.read_bytes().rstrip(b"\n") == line[:cut]


def test_a_tear_of_a_batch_at_every_line_is_recovered(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append_batch([Event("x.torn", "", {"n": number}) for number in range(6)])
    whole = lines_of(path)
    for size in range(4, 9):
        for file in side_files(path):
            file.unlink()
        cut_to(path, 3)
        append_foreign(path, *whole[3:size])
        with Ledger.open(path, key=RUNNER.key) as book:
            book.append(event(size))
        check(path, whole[3:size])


def test_a_side_file_that_cannot_be_written_stops_the_recovery_before_it_cuts(path: Path) -> None:
    tear(path)
    before = lines_of(path)
    pending_path(path).mkdir()
    with Ledger.open(path, key=RUNNER.key) as book:
        for _ in range(2):
            with pytest.raises(StoreError):
                book.append(event())
        assert lines_of(path) == before
        pending_path(path).rmdir()
        book.append(event())
    assert len(recoveries(path)) == 1


def test_a_side_file_that_someone_planted_is_recorded_as_what_it_is(path: Path) -> None:
    pending_path(path).write_bytes(b"not an entry\n\xff\n")
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event())
    [record] = recoveries(path)
    assert (record["entries"], record["bytes"], record["hashes"]) == (0, 15, [])


def test_what_was_recovered_may_be_appended_anew(path: Path) -> None:
    """The torn event was never acknowledged; its author tries again with the same id."""
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append_batch([Event("x.step", "", {"n": 1}, "mine"), event(2)])
    cut_to(path, 4)
    with Ledger.open(path, key=RUNNER.key) as book:
        receipt = book.append(Event("x.step", "", {"n": 1}, "mine"))
        assert book.append(Event("x.step", "", {"n": 1}, "mine")) == receipt
    assert [entry["id"] for entry in walk(path)].count("mine") == 1


def test_a_refused_append_may_recover_but_loses_nothing(path: Path) -> None:
    torn = tear(path)
    with Ledger.open(path, key=RUNNER.key) as book:
        with pytest.raises(LedgerError):
            book.append(Event("governance.approved", "", {}))
        book.append(event())
    check(path, torn)
