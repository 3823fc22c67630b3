"""The SQLite recorder of eventsourcing 9.5, with the durability that we give.

It stores bytes that it is handed; we are handed a ``dict``, which we check and encode,
and the entry is hashed, linked, indexed by id and signed.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from benchmarks.bench import Bench, Line, Reach, ratios
from benchmarks.payload import KIND, SUBJECT, event_batches
from benchmarks.rows.stores import append_all, append_each, new_ledger
from ledger.strictjson import encode

if TYPE_CHECKING:
    from eventsourcing.persistence import StoredEvent

_ORIGIN = UUID(SUBJECT.partition("/")[2])
_BLOCK, _BATCH, _WARM = 100, 1000, 4


class Peer:
    """Their recorder for applications, which numbers events over all aggregates."""

    def __init__(self, path: Path) -> None:
        """Make its database; ``synchronous=FULL`` is set, whatever SQLite was built with."""
        from eventsourcing.sqlite import (  # noqa: PLC0415 - an extra
            SQLiteApplicationRecorder,
            SQLiteDatastore,
        )

        self._store = SQLiteDatastore(str(path))
        self._recorder = SQLiteApplicationRecorder(self._store)
        self._recorder.create_table()
        with self._store.get_connection(commit=True) as connection:
            cursor = connection.cursor()
            cursor.execute("PRAGMA synchronous=FULL")
            settings = []
            for name in ("journal_mode", "synchronous"):
                cursor.execute(f"PRAGMA {name}")
                settings.append(cursor.fetchone()[0])
        assert settings == ["wal", 2], settings
        self._version = 0

    def stored(self, states: Sequence[bytes]) -> list["StoredEvent"]:
        """Return events that hold these payloads."""
        from eventsourcing.persistence import StoredEvent  # noqa: PLC0415 - an extra

        first = self._version + 1
        self._version += len(states)
        return [
            StoredEvent(_ORIGIN, number, KIND, state) for number, state in enumerate(states, first)
        ]

    def insert_each(self, events: Sequence["StoredEvent"]) -> float:
        """Insert event by event; return the seconds."""
        insert = self._recorder.insert_events
        begun = time.perf_counter()
        for event in events:
            insert([event])
        return time.perf_counter() - begun

    def insert_all(self, events: Sequence["StoredEvent"]) -> float:
        """Insert one batch; return the seconds."""
        begun = time.perf_counter()
        self._recorder.insert_events(events)
        return time.perf_counter() - begun

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()


def run(bench: Bench) -> Iterator[Line]:
    """Alternate theirs and ours, one by one and in batches of 1 000."""
    if find_spec("eventsourcing") is None:
        bench.say("skipped: eventsourcing is not installed (pip install -e '.[bench]')")
        return
    for size in (1, _BATCH):
        yield _compare(bench, size)


def _compare(bench: Bench, size: int) -> Line:
    ours, theirs = [], []
    count = _BLOCK if size == 1 else size
    peer = Peer(bench.folder / f"peer-{size}.sqlite")
    with new_ledger(bench.folder / f"peer-ours-{size}.sqlite") as book:
        batches = event_batches(count)
        for pair in range(_WARM + bench.pick(15, 60)):
            events = next(batches)
            stored = peer.stored([encode(event.data) for event in events])
            if size == 1:
                own, other = append_each(book, events), peer.insert_each(stored)
            else:
                own, other = append_all(book, events), peer.insert_all(stored)
            if pair >= _WARM:
                ours.append(own)
                theirs.append(other)
    peer.close()
    return Line(
        f"ours, batches of {size:,}".replace(",", " "),
        f"eventsourcing {version('eventsourcing')}, SQLite, same payload bytes and durability",
        Reach("≥", 1),
        ratios(ours, theirs),
        f"{_us(ours, count)} µs an event against {_us(theirs, count)} µs",
    )


def _us(blocks: Sequence[float], count: int) -> str:
    return f"{statistics.median(blocks) / count * 1e6:.1f}"
