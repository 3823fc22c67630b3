"""Databases made to be verified, and databases made to harm the verifier."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.verifier.builder import (
    LAX,
    OTHER,
    OWNER,
    RUNNER,
    SCHEMA,
    Builder,
    Notebook,
    codes,
    leaf,
    read,
    write_sqlite,
)

Row = dict[str, Any]
Expected = list[tuple[str, int | None]]


def story(entries: int = 6) -> Builder:
    b = Builder()
    for n in range(entries):
        b.add(data={"n": n}, signed=n % 2 == 1, subject="run/é")
    return b


def findings(path: Path) -> Expected:
    return codes(read(path)[1])


def test_an_honest_database_has_no_findings_and_the_root_of_its_lines(tmp_path: Path) -> None:
    b = story()
    notes = (b.checkpoint(7), b.checkpoint(3))
    reading, found = read(
        write_sqlite(tmp_path / "l.sqlite", b.rows()),
        strict=True,
        ledger_id=b.id,
        checkpoints=notes,
    )
    lines, _ = read(b.write(tmp_path / "l.jsonl"))
    assert found.items() == ()
    assert (reading.root, reading.size, reading.signed) == (lines.root, 7, 4)
    assert (reading.store, reading.checkpoints_held) == ("sqlite", (3, 7))


def set_column(column: str, value: object) -> Callable[[list[Row]], None]:
    def change(rows: list[Row]) -> None:
        rows[3][column] = value

    return change


def _renumber(rows: list[Row]) -> None:
    rows[6]["seq"] = 9


def _lf(rows: list[Row]) -> None:
    rows[3]["entry"] = rows[3]["entry"].replace(b"{}", b"{}\n").replace(b'"n":2', b'"n":\n2')
    rows[3]["hash"] = leaf(rows[3]["entry"])


BAD_SIG: Expected = [("sig.invalid", 3), ("sig.presence", 3), ("store.index", 3)]
NO_LINE: Expected = [("line.framing", 3), ("store.index", 3)]
ROWS: list[tuple[str, Callable[[list[Row]], None], Expected]] = [
    ("id", set_column("id", "other"), [("store.index", 3)]),
    ("time", set_column("time", "2026-01-01T00:00:03.000001Z"), [("store.index", 3)]),
    ("type", set_column("type", "x.gate.judged"), [("store.index", 3)]),
    ("subject", set_column("subject", "run/e"), [("store.index", 3)]),
    ("seq", _renumber, [("store.index", 6)]),
    ("id as a blob", set_column("id", b"id-00003"), [("store.index", 3)]),
    ("time as a blob", set_column("time", b"2026-01-01T00:00:03.000000Z"), [("store.index", 3)]),
    ("type as null", set_column("type", None), [("store.index", 3)]),
    ("subject as a number", set_column("subject", 1), [("store.index", 3)]),
    ("hash of another entry", set_column("hash", bytes(32)), [("entry.hash", 3)]),
    ("short hash", set_column("hash", bytes(31)), [("store.index", 3)]),
    ("hash as text", set_column("hash", "0" * 64), [("store.index", 3)]),
    ("no hash", set_column("hash", None), [("store.index", 3)]),
    ("short sig", set_column("sig", bytes(63)), BAD_SIG),
    ("sig as text", set_column("sig", "x" * 64), BAD_SIG),
    ("entry as text", set_column("entry", "{}"), NO_LINE),
    ("entry of one byte", set_column("entry", b"{"), [("line.framing", 3)]),
    ("entry of a brace", set_column("entry", b"}"), [("line.framing", 3)]),
    ("long entry", set_column("entry", b"{" + b" " * 70_000 + b"}"), NO_LINE),
    ("very long entry", set_column("entry", b"{" + b" " * 3_000_000 + b"}"), NO_LINE),
    ("line feed", _lf, [("chain.prev", 4), ("entry.json", 3), ("store.index", 3)]),
    ("no sig", lambda rows: rows[4].update(sig=None), [("sig.presence", 4)]),
    ("foreign sig", lambda rows: rows[4].update(sig=rows[2]["sig"]), [("sig.invalid", 4)]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_a_row_that_is_not_what_its_entry_makes_it(
    change: Callable[[list[Row]], None], expected: Expected, tmp_path: Path
) -> None:
    rows = story().rows()
    change(rows)
    assert findings(write_sqlite(tmp_path / "l.sqlite", rows, LAX)) == expected


def test_a_deleted_row(tmp_path: Path) -> None:
    rows = story().rows()
    del rows[3]
    expected = [("chain.prev", 4), ("chain.seq", 3)]
    assert findings(write_sqlite(tmp_path / "l.sqlite", rows)) == expected


def test_a_doubled_id_is_found_whatever_the_index_says(tmp_path: Path) -> None:
    b = story(2)
    b.add(id="id-00001")
    rows = b.rows()
    rows[3]["id"] = "id-00099"
    expected = [("id.duplicate", 3), ("store.index", 3)]
    assert findings(write_sqlite(tmp_path / "l.sqlite", rows)) == expected


def test_compromised_entries_are_found_in_a_second_reading(tmp_path: Path) -> None:
    b = story(4)
    b.revoke(RUNNER, 3)
    expected = [("key.compromised", 3), ("key.compromised", 4)]
    assert findings(write_sqlite(tmp_path / "l.sqlite", b.rows())) == expected


SCHEMAS = {
    "a view": "CREATE VIEW entries AS SELECT 1 AS seq, x'' AS entry, x'' AS hash, x'' AS sig, "
    "'' AS id, '' AS time, '' AS type, '' AS subject",
    "no table": "CREATE TABLE other(x)",
    "fewer columns": "CREATE TABLE entries(seq INTEGER PRIMARY KEY, entry BLOB)",
    "a generated column": "CREATE TABLE entries(seq INTEGER PRIMARY KEY, hash, sig, id, time, "
    "type, subject, entry AS (zeroblob(9)))",
    "another key": "CREATE TABLE entries(seq, entry, hash, sig, id TEXT PRIMARY KEY, time, type, "
    "subject)",
    "a virtual table": "CREATE VIRTUAL TABLE entries USING fts5(seq, entry, hash, sig, id, time, "
    "type, subject)",
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_what_is_not_the_table_of_the_page_is_not_read(schema: str, tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(schema)
    connection.commit()
    connection.close()
    reading, found = read(path)
    assert codes(found) == [("genesis.invalid", 0), ("store.index", 0)]
    assert reading.size == 0


def test_an_empty_table_is_an_empty_ledger(tmp_path: Path) -> None:
    assert findings(write_sqlite(tmp_path / "l.sqlite", [])) == [("genesis.invalid", 0)]


def test_an_index_that_lies_is_not_asked(tmp_path: Path) -> None:
    path = write_sqlite(tmp_path / "l.sqlite", story().rows())
    connection = sqlite3.connect(path)
    connection.execute("CREATE INDEX lie ON entries(seq, entry) WHERE seq < 3")
    connection.commit()
    connection.close()
    assert findings(path) == []


def test_reading_leaves_nothing_beside_the_evidence(tmp_path: Path) -> None:
    path = write_sqlite(tmp_path / "l #?%41.sqlite", story().rows())
    before = path.read_bytes()
    read(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_what_a_live_writer_has_committed_is_read(tmp_path: Path) -> None:
    b = story()
    path = write_sqlite(tmp_path / "l.sqlite", b.rows()[:3])
    writer = sqlite3.connect(path)
    writer.executemany(
        "INSERT INTO entries VALUES (:seq,:entry,:hash,:sig,:id,:time,:type,:subject)", b.rows()[3:]
    )
    writer.commit()
    reading, found = read(path)
    writer.close()
    assert (reading.size, found.items()) == (7, ())


def test_the_log_left_behind_by_a_copy_is_read_with_it(tmp_path: Path) -> None:
    b = story()
    path = write_sqlite(tmp_path / "l.sqlite", b.rows()[:3])
    writer = sqlite3.connect(path)
    writer.executemany(
        "INSERT INTO entries VALUES (:seq,:entry,:hash,:sig,:id,:time,:type,:subject)", b.rows()[3:]
    )
    writer.commit()
    (tmp_path / "copy").mkdir()
    for name in ("l.sqlite", "l.sqlite-wal"):
        shutil.copy(tmp_path / name, tmp_path / "copy" / name)
    writer.close()
    reading, found = read(tmp_path / "copy" / "l.sqlite")
    assert (reading.size, found.items()) == (7, ())


def test_any_byte_flipped_gives_findings_or_the_same_reading(tmp_path: Path) -> None:
    """SQLite's free bytes may change; what was read may not, without a finding."""
    rng = random.Random(3)  # noqa: S311 - repeatable on purpose
    b = story(40)
    path = write_sqlite(tmp_path / "l.sqlite", b.rows())
    honest, _ = read(path)
    raw = path.read_bytes()
    refuted = 0
    for _ in range(400):
        at = rng.randrange(len(raw))
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :])
        try:
            reading, found = read(path)
        except OSError:
            continue
        if found.errors:
            refuted += 1
        else:
            assert reading == honest
    assert refuted > 100


def test_a_database_cut_short_is_damaged_and_what_is_left_is_read(tmp_path: Path) -> None:
    b = story(400)
    path = write_sqlite(tmp_path / "l.sqlite", b.rows())
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2 // 4096 * 4096])
    reading, found = read(path)
    assert "store.index" in found.counts()
    assert not reading.torn_tail


def test_a_file_of_the_magic_alone(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    assert ("store.index", 0) in findings(path)


def test_a_locked_database_is_the_worlds_fault(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(SCHEMA)
    connection.commit()
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("INSERT INTO entries VALUES (0, x'', x'', NULL, '', '', '', '')")
    connection.commit()
    assert (tmp_path / "l.sqlite-wal").stat().st_size
    with pytest.raises(OSError, match="locked"):
        read(path)
    connection.close()


def test_a_journal_left_beside_it_is_named_and_not_played_back(tmp_path: Path) -> None:
    path = write_sqlite(tmp_path / "l.sqlite", story().rows())
    before = path.read_bytes()
    path.with_name("l.sqlite-journal").write_bytes(b"junk")
    with pytest.raises(OSError, match="a journal of an unfinished write lies beside"):
        read(path)
    assert path.read_bytes() == before


def test_a_database_changed_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = write_sqlite(tmp_path / "l.sqlite", story().rows())

    class Meddler(Notebook):
        def see(self, *args: Any) -> None:
            super().see(*args)
            os.utime(path, ns=(1, 1))

    with pytest.raises(OSError, match="changed"):
        read(path, story=Meddler())


def test_a_directory_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        read(tmp_path)


def test_rows_of_many_keys_and_a_key_event_in_between(tmp_path: Path) -> None:
    b = story(4)
    b.authorize(OTHER, "other", ["runner"])
    b.add(key=OTHER)
    b.add("x.y", key=OWNER)
    assert findings(write_sqlite(tmp_path / "l.sqlite", b.rows())) == []
