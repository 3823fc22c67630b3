"""Ours beside bare SQLite: how the rows of appends fill their two databases."""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import REPOSITORY
from ledger import Event, Key, Ledger, Receipt
from ledger.entry import parse_entry
from ledger.stores.base import NewRow

_SCHEMA = REPOSITORY / "ledger" / "stores" / "schema.sql"
_INSERT = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class Bare:
    """A database with our schema and pragmas, that someone else inserts into."""

    def __init__(self, path: Path) -> None:
        """Make it."""
        self._connection = sqlite3.connect(path)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_SCHEMA.read_text(encoding="utf-8"))
        settings = [
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        ]
        assert settings == ["wal", 2], settings

    def insert_each(self, rows: Sequence[NewRow]) -> float:
        """Insert and commit row by row; return the seconds."""
        execute, commit = self._connection.execute, self._connection.commit
        begun = time.perf_counter()
        for row in rows:
            execute(_INSERT, row)
            commit()
        return time.perf_counter() - begun

    def insert_all(self, rows: Sequence[NewRow]) -> float:
        """Insert all rows and commit once; return the seconds."""
        begun = time.perf_counter()
        self._connection.executemany(_INSERT, rows)
        self._connection.commit()
        return time.perf_counter() - begun

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


def new_ledger(path: Path) -> Ledger:
    """Return a ledger that a fresh key owns."""
    return Ledger.create(path, name="bench", key=Key.generate("bench"))


def append_each(book: Ledger, events: Sequence[Event]) -> float:
    """Append event by event, each durable before the next; return the seconds."""
    append = book.append
    begun = time.perf_counter()
    for event in events:
        append(event)
    return time.perf_counter() - begun


def append_all(book: Ledger, events: Sequence[Event]) -> float:
    """Append one batch; return the seconds."""
    begun = time.perf_counter()
    receipts = book.append_batch(events)
    spent = time.perf_counter() - begun
    assert _all_new(receipts, len(events))
    return spent


def rows_from(book: Ledger, start: int) -> list[NewRow]:
    """Return the rows from *start* on as the store was given them, to insert elsewhere."""
    rows = []
    for raw, digest, signature in book.rows(start):
        entry = parse_entry(raw, signature)
        columns = (entry.id, entry.time, entry.type, entry.subject)
        rows.append(NewRow(entry.seq, raw, digest, signature, *columns))
    return rows


def _all_new(receipts: Sequence[Receipt], count: int) -> bool:
    return len(receipts) == count and receipts[-1].seq - receipts[0].seq == count - 1
