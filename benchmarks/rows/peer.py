"""eventsourcing 9.5 on SQLite, with the durability that we give.

Its *recorder* stores bytes that it is handed in a narrower table; we are handed a
``dict``, which we check and encode, and the entry is hashed, linked, indexed by id and
signed. Its *event store* is handed objects as we are, and encodes them first.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from benchmarks.bench import Bench, Line, Reach, ratios
from benchmarks.payload import KIND, SUBJECT, event_batches
from benchmarks.rows.stores import Bare, append_all, append_each, new_ledger, rows_from
from ledger import Event
from ledger.strictjson import encode

if TYPE_CHECKING:
    from eventsourcing.application import Application

_ORIGIN = UUID(SUBJECT.partition("/")[2])
_BLOCK, _BATCH, _WARM = 100, 1000, 4

Insert = Callable[[Sequence[Any]], object]


class Recorder:
    """Their recorder: payloads come as bytes."""

    asked = 1.0
    what = "recorder (bytes in)"

    def __init__(self, application: "Application[UUID]") -> None:
        """Use the application's recorder."""
        self.insert: Insert = application.recorder.insert_events
        self._version = 0

    def prepare(self, events: Sequence[Event]) -> list[Any]:
        """Return their events, with the payload bytes that we would write."""
        from eventsourcing.persistence import StoredEvent  # noqa: PLC0415 - an extra

        first = self._version + 1
        self._version += len(events)
        states = [encode(event.data) for event in events]
        return [
            StoredEvent(_ORIGIN, number, KIND, state) for number, state in enumerate(states, first)
        ]


class Store:
    """Their event store: payloads come as objects, as ours do."""

    asked = None
    what = "event store (objects in)"

    def __init__(self, application: "Application[UUID]") -> None:
        """Use the application's event store."""
        self.insert: Insert = application.events.put
        self._version = 0

    def prepare(self, events: Sequence[Event]) -> list[Any]:
        """Return their events, which hold our dicts."""
        from benchmarks.rows.peer_event import Checked  # noqa: PLC0415 - an extra

        first = self._version + 1
        self._version += len(events)
        stamp = Checked.create_timestamp()
        return [
            Checked(
                originator_id=_ORIGIN,
                originator_version=number,
                timestamp=stamp,
                data=event.data,
            )
            for number, event in enumerate(events, first)
        ]


def run(bench: Bench) -> Iterator[Line]:
    """Alternate theirs and ours, one by one and in batches of 1 000."""
    if find_spec("eventsourcing") is None:
        bench.say("skipped: eventsourcing is not installed (pip install -e '.[bench]')")
        return
    for kind in (Recorder, Store):
        for size in (1, _BATCH):
            yield _compare(bench, kind, size)


def _compare(bench: Bench, kind: type[Recorder | Store], size: int) -> Line:
    ours, theirs, bares = [], [], []
    count = _BLOCK if size == 1 else size
    name = f"{kind.__name__.lower()}-{size}"
    application = _application(bench.folder / f"peer-{name}.sqlite")
    peer, bare = kind(application), Bare(bench.folder / f"bare-{name}.sqlite")
    with new_ledger(bench.folder / f"ours-{name}.sqlite") as book:
        batches = event_batches(count)
        for pair in range(_WARM + bench.pick(15, 60)):
            events = next(batches)
            prepared, start = peer.prepare(events), book.size
            own = append_each(book, events) if size == 1 else append_all(book, events)
            other = _insert(peer.insert, prepared, size)
            rows = rows_from(book, start)
            least = bare.insert_each(rows) if size == 1 else bare.insert_all(rows)
            if pair >= _WARM:
                ours.append(own)
                theirs.append(other)
                bares.append(least)
    bare.close()
    assert application.recorder.max_notification_id() == book.size - 1
    application.close()
    return Line(
        f"ours, batches of {size:,}".replace("1,000", "1 000"),
        f"eventsourcing {version('eventsourcing')} SQLite {kind.what}, same durability",
        Reach("≥", kind.asked),
        ratios(ours, theirs),
        f"{_us(ours, count)} µs an event against {_us(theirs, count)} µs;"
        f" bare SQLite with our rows takes {_us(bares, count)} µs",
    )


def _application(path: Path) -> "Application[UUID]":
    """Return their application; ``synchronous=FULL`` is set, whatever SQLite was built with."""
    from eventsourcing.application import Application  # noqa: PLC0415 - an extra

    settings = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}
    application: Application[UUID] = Application(settings)
    found = []
    with application.factory.datastore.get_connection(commit=True) as connection:  # type: ignore[attr-defined]
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        for name in ("journal_mode", "synchronous"):
            cursor.execute(f"PRAGMA {name}")
            found.append(cursor.fetchone()[0])
    assert found == ["wal", 2], found
    return application


def _insert(insert: Insert, events: Sequence[Any], size: int) -> float:
    """Insert the events in batches of *size*; return the seconds."""
    begun = time.perf_counter()
    for start in range(0, len(events), size):
        insert(events[start : start + size])
    return time.perf_counter() - begun


def _us(blocks: Sequence[float], count: int) -> str:
    return f"{statistics.median(blocks) / count * 1e6:.1f}"
