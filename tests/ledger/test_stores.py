"""What every store owes the ledger (``stores/base.py``), and conversion between stores."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import history
import pytest
from forge import OWNER, RUNNER, STORES, VECTORS, Forge, columns, lines_of, new_book, unframe, walk

from ledger import Event, Ledger, LockedError, MalformedError, MisuseError, StoreError
from ledger.convert import convert, export_lines
from ledger.paths import locate, open_store
from ledger.stores import create_store
from ledger.stores.base import NewRow, Store
from ledger.stores.jsonl import MAX_LINE


def new_row(line: bytes) -> NewRow:
    seq, raw, digest, sig, *index = columns(line)
    return NewRow(seq, raw, digest, sig, *index)


def forged(count: int) -> list[bytes]:
    forge = Forge()
    forge.genesis()
    for _ in range(count - 1):
        forge.add(OWNER)
    return forge.lines


@pytest.fixture(params=STORES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / f"book{request.param}"
    create_store(place, map(new_row, forged(4)))
    return place


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    made = open_store(path, timeout=0.2, read_only=False)
    yield made
    made.close()


def test_the_rows_come_back_as_they_went_in(path: Path, store: Store) -> None:
    rows = [unframe(line[:-1]) for line in lines_of(path)]
    assert list(store.rows()) == rows
    assert list(store.rows(1, 3)) == rows[1:3]
    assert list(store.rows(3)) == rows[3:]
    assert list(store.rows(4)) == list(store.rows(2, 2)) == []
    assert store.whole()


def test_an_entry_is_found_by_its_id(path: Path, store: Store) -> None:
    assert store.find("forged-2") == unframe(lines_of(path)[2][:-1])
    assert store.find("forged-9") is None
    with store.exclusive() as session:
        list(session.tail(0))
        assert session.find("forged-2") == store.find("forged-2")
        assert session.find("forged-9") is None


def test_what_was_appended_is_there_when_the_block_has_ended_well(path: Path, store: Store) -> None:
    lines = lines_of(path)
    forge = Forge.behind(lines)
    more = [forge.add(OWNER) for _ in range(3)]
    with store.exclusive() as session:
        assert len(list(session.tail(0))) == 4
        session.append([new_row(more[0])])
    with store.exclusive() as session:
        assert next(session.tail(5)) == unframe(more[0][:-1])
        session.append([new_row(line) for line in more[1:]])
        session.sync()
    assert lines_of(path) == [*lines, *more]


def test_nothing_of_it_is_there_when_the_block_has_ended_badly(path: Path, store: Store) -> None:
    """Before ``append``; what a JSONL append has written stays, and is a valid continuation."""
    lines = lines_of(path)

    def break_off() -> None:
        with store.exclusive() as session:
            list(session.tail(0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert lines_of(path) == lines
    with store.exclusive() as session:
        assert next(session.tail(4)) == unframe(lines[3][:-1])


def test_rows_are_cut_off_the_end(path: Path, store: Store) -> None:
    lines = lines_of(path)
    with store.exclusive() as session:
        list(session.tail(0))
        session.cut(2)
        assert session.find("forged-3") is None
    assert lines_of(path) == lines[:2]
    with store.exclusive() as session:
        assert list(session.tail(2))[1:] == []


def test_two_do_not_hold_the_lock_at_once(path: Path, store: Store) -> None:
    other = open_store(path, timeout=0.1, read_only=False)
    with store.exclusive(), pytest.raises(LockedError), other.exclusive():
        pass
    with other.exclusive():
        pass
    other.close()


def test_a_name_that_is_taken_is_left_as_it_is(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(StoreError):
        create_store(path, map(new_row, forged(2)))
    assert path.read_bytes() == before
    assert sorted(item.name for item in path.parent.iterdir()) == [path.name]


@pytest.mark.parametrize("suffix", STORES)
def test_a_store_that_cannot_be_written_whole_is_not_there_at_all(
    tmp_path: Path, suffix: str
) -> None:
    def breaking() -> Iterator[NewRow]:
        yield from map(new_row, forged(2))
        raise MalformedError("no further")

    with pytest.raises(MalformedError):
        create_store(tmp_path / f"book{suffix}", breaking())
    assert not list(tmp_path.iterdir())
    with pytest.raises(StoreError):
        create_store(tmp_path / "missing" / f"book{suffix}", map(new_row, forged(1)))


def test_a_file_that_is_gone_is_an_error_of_ours(path: Path, store: Store) -> None:
    path.rename(path.with_name("away"))
    with pytest.raises(StoreError), store.exclusive():
        pass
    if path.suffix == ".jsonl":
        for use in (lambda: list(store.rows()), store.whole, lambda: store.find("a")):
            with pytest.raises(StoreError):
                use()


def test_a_torn_line_is_no_row_and_the_file_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    lines = forged(3)
    path.write_bytes(b"".join(lines)[:-1])
    store = open_store(path, timeout=1, read_only=True)
    assert len(list(store.rows())) == 2
    assert not store.whole()
    with store.exclusive() as session:
        assert len(list(session.tail(0))) == 2
        assert session.fragment() == lines[2][:-1]


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "book.jsonl").touch()
    store = open_store(tmp_path / "book.jsonl", timeout=1, read_only=True)
    assert list(store.rows()) == []
    assert store.whole()
    with pytest.raises(MalformedError, match="empty"):
        Ledger.open(tmp_path / "book.jsonl")


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    with path.open("wb") as file:
        file.truncate(1 << 33)  # eight sparse gigabytes of zeros
    for key in (None, OWNER.key):
        with pytest.raises(MalformedError, match=str(MAX_LINE)):
            Ledger.open(path, key=key)


def test_a_line_of_the_greatest_length_is_read(tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    shutil.copy(VECTORS / "accept" / "E_65535.jsonl", path)
    with Ledger.open(path) as book:
        assert max(len(entry.raw) for entry in book.entries()) == 65_535


def test_a_disk_that_fills_up_in_the_middle_of_a_write_loses_nothing(tmp_path: Path) -> None:
    """A real short write: the file may not grow beyond the limit that the child has."""
    path = tmp_path / "book.jsonl"
    with new_book(path, (RUNNER, "runner")) as book:
        before = lines_of(path)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            limit = path.stat().st_size + 5000
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                book.append_batch([Event("x.big", "", {"text": "x" * 3000})] * 3)
            except StoreError:
                resource.setrlimit(
                    resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                )
                receipt = book.append(Event("x.small", "", {}))
                os._exit(10 + receipt.seq)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 12
    assert lines_of(path)[:2] == before
    assert [entry["type"] for entry in walk(path)][2:] == ["x.small"]


@pytest.mark.parametrize("start", STORES)
def test_conversion_there_and_back_changes_no_byte(tmp_path: Path, start: str) -> None:
    honest = history.write(tmp_path / f"honest{start}")
    there = tmp_path / f"there{'.sqlite' if start == '.jsonl' else '.jsonl'}"
    assert convert(honest, there) == 50
    assert convert(there, tmp_path / f"back{start}") == 50
    assert lines_of(honest) == lines_of(there) == lines_of(tmp_path / f"back{start}")
    assert b"".join(export_lines(honest)) == b"".join(lines_of(honest))
    if start == ".jsonl":
        assert (tmp_path / "back.jsonl").read_bytes() == honest.read_bytes()


@pytest.mark.parametrize("suffix", STORES)
@pytest.mark.parametrize("file", sorted((VECTORS / "accept").iterdir()), ids=lambda file: file.stem)
def test_odd_but_good_ledgers_are_carried_over_without_a_change(
    tmp_path: Path, file: Path, suffix: str
) -> None:
    convert(file, tmp_path / f"there{suffix}")
    convert(tmp_path / f"there{suffix}", tmp_path / "back.jsonl")
    assert (tmp_path / "back.jsonl").read_bytes() == file.read_bytes()


def test_a_torn_ledger_is_not_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    for content in (b"".join(forged(3))[:-1], b"".join(forged(3))[:-50], b""):
        path.write_bytes(content)
        with pytest.raises(MalformedError):
            convert(path, tmp_path / "there.sqlite")
        with pytest.raises(MalformedError):
            list(export_lines(path))
    forge = Forge.behind(forged(2))
    forge.add(OWNER, signed=False)
    forge.write(tmp_path / "torn.sqlite")
    with pytest.raises(MalformedError, match="unsigned"):
        convert(tmp_path / "torn.sqlite", tmp_path / "there.jsonl")
    assert not (tmp_path / "there.sqlite").exists()
    assert not (tmp_path / "there.jsonl").exists()


@pytest.mark.parametrize(("since", "refused"), [(2, True), (3, True), (4, False)])
def test_an_entry_by_a_key_that_is_compromised_since_then_is_not_carried_over(
    tmp_path: Path,
    since: int,
    refused: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    path = tmp_path / "book.jsonl"
    with new_book(path, (RUNNER, "runner")) as owner, Ledger.open(path, key=RUNNER.key) as book:
        book.append_batch([Event("x.a", "", {})] * 2)  # entries 2 and 3
        owner.append(Event("x.a", "", {}))
        owner.revoke(RUNNER.id, reason="stolen", compromised_since=since)
    if refused:
        with pytest.raises(MalformedError, match="compromised"):
            convert(path, tmp_path / "there.sqlite")
    else:
        assert convert(path, tmp_path / "there.sqlite") == 6


def test_conversion_onto_an_existing_file_leaves_it_alone(tmp_path: Path) -> None:
    honest = history.write(tmp_path / "honest.jsonl")
    (tmp_path / "there.sqlite").write_bytes(b"mine")
    with pytest.raises(StoreError):
        convert(honest, tmp_path / "there.sqlite")
    assert (tmp_path / "there.sqlite").read_bytes() == b"mine"


def test_a_path_says_which_store_it_means(tmp_path: Path) -> None:
    assert locate(tmp_path / "a.jsonl", new=True) == tmp_path / "a.jsonl"
    assert locate(tmp_path / "run", new=True) == tmp_path / "run" / "ledger.sqlite"
    for name in ("ledger.sqlite", "ledger.db", "ledger.jsonl"):
        folder = tmp_path / f"with {name}"
        folder.mkdir()
        with pytest.raises(MisuseError, match="no ledger"):
            locate(folder)
        (folder / name).touch()
        assert locate(folder) == folder / name
        assert locate(folder / name) == folder / name
    (tmp_path / "with ledger.db" / "ledger.jsonl").touch()
    with pytest.raises(MisuseError, match="two ledgers"):
        locate(tmp_path / "with ledger.db")


def test_a_path_that_leads_nowhere_is_the_caller_s_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    for name in ("a.jsonl", "a.sqlite", "nothing", "a.txt"):
        with pytest.raises(MisuseError):
            locate(tmp_path / name)


def test_a_database_left_with_its_wal_is_read_whole(tmp_path: Path) -> None:
    """A copy taken while the writer lives, WAL and all, has every acknowledged entry."""
    path = tmp_path / "book.sqlite"
    with new_book(path, (RUNNER, "runner")) as book:
        for number in range(3):
            book.append(Event("x.a", "", {"n": number}))
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", tmp_path / f"copy.sqlite{suffix}")
    assert len(walk(tmp_path / "copy.sqlite")) == 5


def test_a_reader_sees_only_what_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "book.sqlite"
    create_store(path, map(new_row, forged(2)))
    store = open_store(path, timeout=1, read_only=False)
    with store.exclusive() as session:
        list(session.tail(0))
        session.append([new_row(Forge.behind(lines_of(path)).add(OWNER))])
        assert len(list(store.rows())) == 2
        assert store.find("forged-2") is None
    assert len(list(store.rows())) == 3
    store.close()


def test_a_database_in_another_journal_mode_is_made_durable_again(tmp_path: Path) -> None:
    path = tmp_path / "book.sqlite"
    create_store(path, map(new_row, forged(2)))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    with Ledger.open(path, key=OWNER.key) as book:
        book.append(Event("x.a", "", {}))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_ledger_on_read_only_media_is_read(path: Path) -> None:
    path.parent.chmod(0o500)
    path.chmod(0o400)
    try:
        with Ledger.open(path) as book:
            assert book.size == 4
        with pytest.raises(StoreError):
            Ledger.open(path, key=OWNER.key)
    finally:
        path.parent.chmod(0o700)


def test_any_sqlite_tool_reads_the_database(tmp_path: Path) -> None:
    path = history.write(tmp_path / "book.sqlite")
    with closing(sqlite3.connect(path)) as connection:
        kinds = connection.execute("PRAGMA table_info(entries)").fetchall()
        assert [(kind[1], kind[2]) for kind in kinds] == [
            ("seq", "INTEGER"), ("entry", "BLOB"), ("hash", "BLOB"), ("sig", "BLOB"),
            ("id", "TEXT"), ("time", "TEXT"), ("type", "TEXT"), ("subject", "TEXT"),
        ]  # fmt: skip
        [strict] = [
            row[5] for row in connection.execute("PRAGMA table_list") if row[1] == "entries"
        ]
        assert strict == 1
        rows = connection.execute("SELECT * FROM entries ORDER BY seq").fetchall()
    assert rows == [columns(line) for line in lines_of(path)]
    if shutil.which("sqlite3"):
        command = ["sqlite3", str(path), "SELECT count(*) FROM entries"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "50\n"
