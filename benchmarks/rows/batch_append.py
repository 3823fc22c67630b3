"""Batches of 1 000: SQLite against bare SQLite, and JSONL against our SQLite."""

import statistics
from collections.abc import Iterator, Sequence

from benchmarks.bench import Bench, Line, Reach, ratios
from benchmarks.payload import event_batches
from benchmarks.rows.stores import Bare, append_all, new_ledger, rows_from

_BATCH = 1000
_WARM = 4


def run_sqlite(bench: Bench) -> Iterator[Line]:
    """Alternate a batch of ours and the same bytes through ``executemany``."""
    ours, limits = [], []
    bare = Bare(bench.folder / "batch-bare.sqlite")
    with new_ledger(bench.folder / "batch.sqlite") as book:
        batches = event_batches(_BATCH)
        for pair in range(_WARM + bench.pick(25, 150)):
            start = book.size
            own = append_all(book, next(batches))
            limit = bare.insert_all(rows_from(book, start))
            if pair >= _WARM:
                ours.append(own)
                limits.append(limit)
    bare.close()
    yield Line(
        "batches of 1 000, SQLite",
        "bare executemany + commit of the same bytes",
        Reach("≥", 0.45),
        ratios(ours, limits),
        f"{_us(ours)} µs an event against {_us(limits)} µs",
    )


def run_jsonl(bench: Bench) -> Iterator[Line]:
    """Alternate the same batches in our two stores."""
    lines, databases = [], []
    with (
        new_ledger(bench.folder / "batch-lines.jsonl") as jsonl,
        new_ledger(bench.folder / "batch-lines.sqlite") as sqlite,
    ):
        batches = event_batches(_BATCH)
        for pair in range(_WARM + bench.pick(25, 150)):
            batch = next(batches)
            line, database = append_all(jsonl, batch), append_all(sqlite, batch)
            if pair >= _WARM:
                lines.append(line)
                databases.append(database)
    yield Line(
        "batches of 1 000, JSONL",
        "our own SQLite batches",
        Reach("≥", 1),
        ratios(lines, databases),
        f"{_us(lines)} µs an event against {_us(databases)} µs",
    )


def _us(batches: Sequence[float]) -> str:
    return f"{statistics.median(batches) / _BATCH * 1e6:.1f}"
