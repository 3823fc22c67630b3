"""Attacks on what was written already: backups, forks, cuts, files that change place."""

import fcntl
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from forge import (
    OWNER,
    RUNNER,
    STORES,
    Forge,
    append_foreign,
    codes,
    cut_to,
    lines_of,
    new_book,
    tamper,
    verdict,
    walk,
)

from ledger import (
    BrokenLinkError,
    ConflictError,
    Event,
    Head,
    KeyRefusedError,
    Ledger,
    LedgerError,
    MalformedError,
    MisuseError,
    StoreError,
)
from ledger.convert import convert, export_lines
from ledger.paths import open_store
from ledger.signing import sign_checkpoint


@pytest.fixture(params=STORES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / f"book{request.param}"
    new_book(place, (RUNNER, "runner")).close()
    return place


def event(number: int, event_id: str | None = None) -> Event:
    return Event("x.step", "", {"n": number}, event_id)


def backup(path: Path) -> Path:
    """A copy of the ledger as it stands on disk, its WAL folded in."""
    copy = path.with_name("backup" + path.suffix)
    if path.suffix == ".sqlite":
        copy.unlink(missing_ok=True)
        _vacuum(path, copy)
    else:
        shutil.copy(path, copy)
    return copy


def _vacuum(path: Path, copy: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))


def restore(copy: Path, path: Path) -> None:
    """Put the backup in the ledger's place, as cp does: the same file, other bytes."""
    if path.suffix == ".sqlite":
        cut_to(path, len(lines_of(copy)))
    else:
        path.write_bytes(copy.read_bytes())


def test_a_restored_backup_is_not_appended_to_by_the_writer_who_knew_more(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
        copy = backup(path)
        book.append(event(2))
        restore(copy, path)
        for _ in range(3):
            with pytest.raises(BrokenLinkError):
                book.append(event(3))
        with pytest.raises(BrokenLinkError):
            book.refresh()
    assert len(walk(path)) == 3


def test_an_innocent_mistake_does_not_make_the_writer_forget(path: Path) -> None:
    """After each error that is the caller's own, a cut tail is still noticed."""
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1, "one"))
        book.append(event(2))
        for wrong, error in (
            (event(7, "one"), ConflictError),
            (Event("governance.x", "", {}), KeyRefusedError),
            (Event("x.big", "", {"a": "x" * 70_000}), MisuseError),
            (Event("x.nan", "", {"a": float("nan")}), MisuseError),
        ):
            with pytest.raises(error):
                book.append(wrong)
        with pytest.raises(ConflictError):
            book.append(event(3), expected_head=Head(1, bytes(32)))
        assert (book.size, len(book.id)) == (4, 64)
        cut_to(path, 3)
        for _ in range(2):
            with pytest.raises(BrokenLinkError):
                book.append(event(3))


def test_a_fork_is_not_continued_by_a_writer_of_the_other_branch(path: Path) -> None:
    """Same genesis, same length, other history: both branches are valid in themselves."""
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
        copy = backup(path)
        with Ledger.open(copy, key=RUNNER.key) as other:
            other.append(event(20))
        book.append(event(2))
        branch = lines_of(copy)[3]
        cut_to(path, 3)
        append_foreign(path, branch)
        assert verdict(path).outcome == "VERIFIED"
        for _ in range(2):
            with pytest.raises(MalformedError):
                book.append(event(3))


def test_a_longer_fork_is_not_continued_either(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
        copy = backup(path)
        with Ledger.open(copy, key=RUNNER.key) as other:
            for number in range(20, 25):
                other.append(event(number))
        book.append(event(2))
        branch = lines_of(copy)[3:]
        cut_to(path, 3)
        for line in branch:
            append_foreign(path, line)
        for _ in range(2):
            with pytest.raises(MalformedError):
                book.append(event(3))


def test_a_signer_signs_no_second_history(path: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    with Ledger.open(path, key=OWNER.key) as book:
        book.append(event(1))
        copy = backup(path)
        book.append(event(2))
        first = sign_checkpoint(book, memory=memory)
    with Ledger.open(copy, key=OWNER.key) as book:
        with pytest.raises(BrokenLinkError, match="cut"):
            sign_checkpoint(book, memory=memory)
        book.append(event(20))
        with pytest.raises(BrokenLinkError, match="another history"):
            sign_checkpoint(book, memory=memory)
        book.append(event(21))
        with pytest.raises(BrokenLinkError, match="another history"):
            sign_checkpoint(book, memory=memory)
    assert ("anchor.checkpoint", None) in codes(copy, checkpoints=[first.encode()])
    assert codes(path, checkpoints=[first.encode()]) == set()


def test_a_signer_whose_key_was_revoked_meanwhile_signs_no_checkpoint(
    path: Path, tmp_path: Path
) -> None:
    with Ledger.open(path, key=OWNER.key) as owner:
        owner.authorize(_log().public, name="log", roles=["log"])
        with Ledger.open(path, key=_log().key) as book:
            sign_checkpoint(book, memory=tmp_path / "memory")
            owner.revoke(_log().id, reason="stolen")
            with pytest.raises(KeyRefusedError):
                sign_checkpoint(book, memory=tmp_path / "memory")


def _log():  # noqa: ANN202 - a Signer
    from forge import signer

    return signer("log")


def test_a_signer_does_not_sign_another_ledger_under_this_one_s_name(
    path: Path, tmp_path: Path
) -> None:
    """The file is replaced by another valid ledger of the same owner."""
    twin = tmp_path / f"twin{path.suffix}"
    new_book(twin).close()
    with Ledger.open(path, key=OWNER.key) as book:
        twin.replace(path)
        with pytest.raises((BrokenLinkError, StoreError)):
            sign_checkpoint(book, memory=tmp_path / "memory")


def test_a_revocation_cut_off_is_seen_by_whoever_kept_the_checkpoint(
    path: Path, tmp_path: Path
) -> None:
    """Without it the revoked key signs on, validly: why owners publish one at once."""
    with Ledger.open(path, key=OWNER.key) as book:
        book.revoke(RUNNER.id, reason="stolen")
        pinned = sign_checkpoint(book, memory=tmp_path / "memory").encode()
    cut_to(path, 2)
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(666))
    assert verdict(path).outcome == "VERIFIED"
    assert codes(path, checkpoints=[pinned]) == {("anchor.checkpoint", None)}


def test_a_ledger_replaced_while_it_is_open_is_not_written_to_unseen(
    path: Path, tmp_path: Path
) -> None:
    """What was acknowledged must be in the file that the path names."""
    other = tmp_path / f"other{path.suffix}"
    with new_book(other, (RUNNER, "runner")) as book:
        book.append(event(1))
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
        other.replace(path)
        for _ in range(2):
            with pytest.raises((BrokenLinkError, StoreError)):
                book.append(event(2))
    assert len(lines_of(path)) == 3


def test_a_ledger_moved_away_while_it_is_open_is_not_written_to_until_it_is_back(
    path: Path,
) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        path.rename(path.with_name("away"))
        for _ in range(2):
            with pytest.raises(StoreError):
                book.append(event(1))
        path.with_name("away").rename(path)
        assert book.append(event(1)).seq == 2


def test_a_jsonl_replaced_while_its_writer_waits_for_the_lock_keeps_every_receipt(
    tmp_path: Path,
) -> None:
    """The lock was taken on a file that has no name any more: an append there would be lost."""
    path = tmp_path / "book.jsonl"
    new_book(path, (RUNNER, "runner")).close()
    receipts = []
    with Ledger.open(path, key=RUNNER.key) as book:
        store = open_store(path, timeout=5, read_only=False)
        waiter = threading.Thread(target=lambda: receipts.append(book.append(event(1))))
        with store.exclusive():
            waiter.start()
            time.sleep(0.2)
            shutil.copy(path, tmp_path / "copy")
            (tmp_path / "copy").replace(path)
        waiter.join()
    assert walk(path)[receipts[0].seq]["hash"] == receipts[0].hash


def test_a_jsonl_replaced_between_opening_and_locking_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "book.jsonl"
    lock = fcntl.flock

    def replaced_first(descriptor: int, how: int) -> None:
        """Take the lock just after the file was replaced: the worst moment there is."""
        if (tmp_path / "copy").exists():
            (tmp_path / "copy").replace(path)
        lock(descriptor, how)

    with new_book(path, (RUNNER, "runner")) as book:
        shutil.copy(path, tmp_path / "copy")
        monkeypatch.setattr(fcntl, "flock", replaced_first)
        receipt = book.append(Event("x.step", "", {}))
    assert not (tmp_path / "copy").exists()
    assert walk(path)[receipt.seq]["hash"] == receipt.hash


def test_a_lock_does_not_outlive_its_holder_in_a_forked_child(path: Path) -> None:
    """A data loader forked while a recorder writes must not keep the ledger locked."""
    store = open_store(path, timeout=5, read_only=False)
    with store.exclusive():
        child = os.fork()
        if child == 0:
            time.sleep(5)
            os._exit(0)
    try:
        with Ledger.open(path, key=RUNNER.key, timeout=1) as book:
            book.append(event(1))
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        store.close()


def test_an_entry_changed_deep_in_the_file_stops_a_fresh_writer(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        for number in range(4):
            book.append(event(number))
    if path.suffix == ".jsonl":
        path.write_bytes(path.read_bytes().replace(b'{"n":1}', b'{"n":9}'))
    else:
        tamper(
            path,
            "UPDATE entries SET entry = CAST(replace(CAST(entry AS TEXT), '{\"n\":1}', '{\"n\":9}')"
            " AS BLOB)",
        )
    with pytest.raises(BrokenLinkError) as caught:
        Ledger.open(path, key=RUNNER.key)
    assert caught.value.seq == 3


@pytest.mark.parametrize("how", ["deleted", "swapped", "duplicated", "inserted", "twin"])
def test_a_history_with_an_entry_out_of_place_is_neither_appended_to_nor_exported(
    tmp_path: Path, how: str
) -> None:
    path = tmp_path / "book.jsonl"
    with new_book(path, (RUNNER, "runner")) as book:
        for number in range(5):
            book.append(event(number))
    lines = lines_of(path)
    if how == "deleted":
        del lines[3]
    elif how == "swapped":
        lines[3], lines[4] = lines[4], lines[3]
    elif how == "duplicated":
        lines.insert(3, lines[3])
    elif how == "inserted":
        lines.insert(3, Forge.behind(lines[:3]).add(RUNNER))
    else:
        new_book(tmp_path / "twin.jsonl", (RUNNER, "runner")).close()
        lines[1] = lines_of(tmp_path / "twin.jsonl")[1]
    path.write_bytes(b"".join(lines))
    with pytest.raises(BrokenLinkError):
        Ledger.open(path, key=OWNER.key)
    with pytest.raises(BrokenLinkError):
        list(export_lines(path))
    with pytest.raises(BrokenLinkError):
        convert(path, tmp_path / "copy.sqlite")
    assert not (tmp_path / "copy.sqlite").exists()
    assert verdict(path).outcome == "REFUTED"


def test_a_reader_notices_that_the_ledger_was_rewritten_behind_it(path: Path) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(1))
        copy = backup(path)
        with Ledger.open(copy, key=RUNNER.key) as other:
            other.append_batch([event(7), event(8)])
        with Ledger.open(path) as reader:
            book.append(event(2))
            reader.refresh()
            cut_to(path, 3)
            for line in lines_of(copy)[3:]:
                append_foreign(path, line)
            with pytest.raises(LedgerError):
                reader.refresh()
