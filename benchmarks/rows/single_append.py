"""One durable append after the other, against bare SQLite that is given the same bytes."""

from collections.abc import Iterator

from benchmarks.bench import Bench, Line, Reach, ratios
from benchmarks.payload import event_batches
from benchmarks.rows.stores import Bare, append_each, new_ledger, rows_from

_BLOCK = 100  # appends of one side before the other side's turn
_WARM = 5  # pairs until both logs have the length that they will keep


def run(bench: Bench) -> Iterator[Line]:
    """Alternate blocks of appends to ours and inserts into the bare one."""
    ours, limits = [], []
    bare = Bare(bench.folder / "single-bare.sqlite")
    with new_ledger(bench.folder / "single.sqlite") as book:
        batches = event_batches(_BLOCK)
        for pair in range(_WARM + bench.pick(10, 50)):
            start = book.size
            own = append_each(book, next(batches))
            limit = bare.insert_each(rows_from(book, start))
            if pair >= _WARM:
                ours.append(own)
                limits.append(limit)
    bare.close()
    yield Line(
        "durable single append, SQLite",
        "bare insert + commit of the same bytes",
        Reach("≥", 0.6),
        ratios(ours, limits),
        f"{_us(ours)} µs against {_us(limits)} µs",
    )


def _us(blocks: list[float]) -> str:
    return f"{sorted(blocks)[len(blocks) // 2] / _BLOCK * 1e6:.0f}"
