"""Attacks through the database: what its owner can do past every trigger (``threats.md``)."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from forge import (
    OWNER,
    RUNNER,
    Forge,
    append_foreign,
    codes,
    columns,
    frame,
    lines_of,
    new_book,
    tamper,
    unframe,
    verdict,
    walk,
)

from ledger import ConflictError, Event, Ledger, LedgerError, MalformedError
from ledger.convert import convert, export_lines


def event(number: int, event_id: str | None = None) -> Event:
    return Event("x.step", "run/1", {"n": number}, event_id)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "book.sqlite"
    with new_book(place, (RUNNER, "runner")) as book:
        for number in range(4):
            book.append(event(number, f"step-{number}"))
    return place


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET subject = 'x' WHERE seq = 3",
        "DELETE FROM entries WHERE seq = 5",
        "UPDATE entries SET sig = NULL",
    ],
)
def test_the_triggers_keep_accidents_out(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)


def test_insert_or_replace_gets_past_the_triggers_and_is_found(path: Path) -> None:
    """SQLite runs no delete trigger for REPLACE unless recursive triggers are on."""
    forge = Forge.behind(lines_of(path)[:5])
    row = columns(forge.add(RUNNER, data={"n": 99}, sig=bytes(64)))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT OR REPLACE INTO entries VALUES (?,?,?,?,?,?,?,?)", row)
    found = codes(path)
    assert ("sig.invalid", 5) in found
    with pytest.raises(MalformedError):
        Ledger.open(path, key=RUNNER.key)


def test_a_row_replaced_by_a_validly_signed_one_is_found_by_its_successor(path: Path) -> None:
    """The holder of a key rewrites an old entry of its own: the chain tells."""
    forge = Forge.behind(lines_of(path)[:4])
    row = columns(forge.add(RUNNER, data={"n": 99}, time=walk(path)[4]["time"]))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT OR REPLACE INTO entries VALUES (?,?,?,?,?,?,?,?)", row)
    assert codes(path) == {("chain.prev", 5)}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "another"),
        ("time", "2020-01-01T00:00:00.000000Z"),
        ("type", "gate.checked"),
        ("subject", "run/2"),
    ],
)
def test_an_index_column_that_disagrees_is_found(path: Path, column: str, value: str) -> None:
    sql = f"UPDATE entries SET {column} = ? WHERE seq = 4"  # noqa: S608 - the attacker is us
    tamper(path, (sql, (value,)))
    assert codes(path) == {("store.index", 4)}
    assert [entry.type for entry in Ledger.open(path).entries()][4] == "x.step"


def test_an_id_moved_in_the_index_does_not_turn_a_new_event_into_an_old_one(path: Path) -> None:
    """Same type, subject and data, another id: answering from it would lose the event."""
    tamper(path, "UPDATE entries SET id = 'mine' WHERE seq = 4")
    with Ledger.open(path, key=RUNNER.key) as book, pytest.raises(LedgerError):
        book.append(event(2, "mine"))


def test_an_id_hidden_from_the_index_is_not_written_twice_unseen(path: Path) -> None:
    tamper(path, "UPDATE entries SET id = 'hidden' WHERE seq = 4")
    try:
        with Ledger.open(path, key=RUNNER.key) as book:
            book.append(event(2, "step-2"))
    except LedgerError:
        pass
    assert ("store.index", 4) in codes(path)


def test_a_row_with_a_line_feed_inside_is_not_exported_as_two_lines(path: Path) -> None:
    lines = lines_of(path)
    forge = Forge.behind(lines)
    inner = unframe(lines[3][:-1])[0]
    raw = json.dumps({"n": 1}).encode()
    line = forge.add(RUNNER, data=b'{"a":1}\n' + frame(inner, bytes(32), None)[:-1])
    raw, digest, sig = unframe(line[:-1])
    row = (6, raw, digest, sig, "forged-6", "2026-01-15T10:00:00.000000Z", "x.event", "")
    tamper(path, ("INSERT INTO entries VALUES (?,?,?,?,?,?,?,?)", row))
    assert verdict(path).outcome == "REFUTED"
    with pytest.raises(MalformedError):
        list(export_lines(path))
    with pytest.raises(MalformedError):
        convert(path, path.with_suffix(".jsonl"))
    assert not path.with_suffix(".jsonl").exists()


def test_a_torn_row_with_line_feeds_is_recorded_as_one_entry(path: Path) -> None:
    forge = Forge.behind(lines_of(path))
    line = forge.add(RUNNER, data=b'{"a":"\n\r"}', signed=False)
    raw, digest, sig = unframe(line[:-1])
    row = (6, raw, digest, sig, "forged-6", "2026-01-15T10:00:00.000000Z", "x.event", "")
    tamper(path, ("INSERT INTO entries VALUES (?,?,?,?,?,?,?,?)", row))
    try:
        with Ledger.open(path, key=RUNNER.key) as book:
            book.append(event(9))
    except MalformedError:
        return  # not signed over, which is as good
    [record] = [entry["data"] for entry in walk(path) if entry["type"] == "ledger.recovered"]
    assert record["hashes"] == [digest.hex()]


@pytest.mark.parametrize(
    "rewrite",
    [
        "entry = CAST(entry AS TEXT)",
        "hash = hex(hash)",
        "hash = substr(hash, 1, 31)",
        "sig = CAST(sig AS TEXT)",
        "sig = 7",
        "sig = substr(sig, 1, 63)",
        "sig = 3.5",
        "entry = NULL",
        "hash = NULL",
        "entry = 12",
        "entry = x''",
        "entry = CAST('[]' AS BLOB)",
        "entry = CAST('null' AS BLOB)",
        "entry = CAST('{}' AS BLOB)",
        "sig = x''",
    ],
)
def test_a_look_alike_table_with_other_types_is_an_error_and_no_crash(
    path: Path, tmp_path: Path, rewrite: str
) -> None:
    """A database of the attacker's own making need not be STRICT."""
    fake = tmp_path / "fake.sqlite"
    with closing(sqlite3.connect(fake)) as connection, connection:
        connection.execute("CREATE TABLE entries(seq, entry, hash, sig, id, time, type, subject)")
        connection.executemany(
            "INSERT INTO entries VALUES (?,?,?,?,?,?,?,?)", map(columns, lines_of(path))
        )
        connection.execute(f"UPDATE entries SET {rewrite} WHERE seq = 3")  # noqa: S608 - see above
    with pytest.raises(LedgerError):
        Ledger.open(fake, key=RUNNER.key)
    with pytest.raises(LedgerError):
        list(export_lines(fake))
    assert verdict(fake).outcome == "REFUTED"


@pytest.mark.parametrize(
    "rewrite",
    ["seq = -1 WHERE seq = 0", "seq = 17 WHERE seq = 5", "seq = 2.5 WHERE seq = 2"],
)
def test_rows_that_are_not_where_they_say_are_no_ledger(path: Path, rewrite: str) -> None:
    fake = path.with_name("fake.sqlite")
    with closing(sqlite3.connect(fake)) as connection, connection:
        connection.execute("CREATE TABLE entries(seq, entry, hash, sig, id, time, type, subject)")
        connection.executemany(
            "INSERT INTO entries VALUES (?,?,?,?,?,?,?,?)", map(columns, lines_of(path))
        )
        connection.execute(f"UPDATE entries SET {rewrite}")  # noqa: S608 - see above
    assert verdict(fake).outcome == "REFUTED"


def test_a_row_before_the_first_is_found(path: Path) -> None:
    """Nothing that lies in the table may be passed over."""
    row = (-1, *columns(lines_of(path)[3])[1:4], "extra", "t", "x.y", "")
    tamper(path, ("INSERT INTO entries VALUES (?,?,?,?,?,?,?,?)", row))
    assert verdict(path).outcome == "REFUTED"


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + bytes(84), b"\0" * 4096, b"x"])
def test_a_file_that_is_no_database_is_an_error_and_no_crash(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "book.sqlite"
    path.write_bytes(content)
    with pytest.raises(LedgerError):
        Ledger.open(path)
    with pytest.raises(LedgerError):
        Ledger.open(path, key=OWNER.key)


def test_a_view_instead_of_a_table_is_an_error_and_no_crash(path: Path) -> None:
    fake = path.with_name("fake.sqlite")
    with closing(sqlite3.connect(fake)) as connection, connection:
        connection.execute("CREATE TABLE real(seq, entry, hash, sig, id, time, type, subject)")
        connection.executemany(
            "INSERT INTO real VALUES (?,?,?,?,?,?,?,?)", map(columns, lines_of(path))
        )
        connection.execute("CREATE VIEW entries AS SELECT * FROM real")
    with pytest.raises(LedgerError), Ledger.open(fake, key=RUNNER.key) as book:
        book.append(event(9))


def test_a_foreign_entry_put_in_behind_the_writer_s_back_is_set_aside_in_one_transaction(
    path: Path,
) -> None:
    with Ledger.open(path, key=RUNNER.key) as book:
        append_foreign(path, Forge.behind(lines_of(path)).add(RUNNER, signed=False))
        book.append(event(9))
        with closing(sqlite3.connect(path)) as connection:
            triggers = connection.execute("SELECT count(*) FROM sqlite_schema WHERE type='trigger'")
            assert triggers.fetchone()[0] in (0, 2)
    assert [entry["type"] for entry in walk(path)][-2:] == ["ledger.recovered", "x.step"]


def test_recovery_leaves_the_triggers_where_they_were(path: Path) -> None:
    forge = Forge.behind(lines_of(path))
    row = columns(forge.add(RUNNER, signed=False))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO entries VALUES (?,?,?,?,?,?,?,?)", row)
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append(event(9))
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("DELETE FROM entries", "UPDATE entries SET sig = NULL"):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(statement)
    assert len(walk(path)) == 8


def test_an_id_in_use_for_another_event_is_a_conflict(path: Path) -> None:
    with Ledger.open(path, key=OWNER.key) as book:
        for other in (
            event(7, "step-2"),
            Event("x.other", "run/1", {"n": 2}, "step-2"),
            Event("x.step", "run/2", {"n": 2}, "step-2"),
        ):
            with pytest.raises(ConflictError):
                book.append(other)
        assert book.append(event(2, "step-2")).seq == 4
        assert book.size == 6
