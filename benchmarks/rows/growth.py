"""Cost against size: does a ledger of 2 000 000 entries cost twice one of 1 000 000?

A straight line is fitted to the seconds for each size. R² of a curve that grows with the
square of the size would be about 0.93, so the note also gives the cost of an entry at
the end over that at the beginning.
"""

import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.bench import Bench, Line, Reach
from benchmarks.make_ledger import Spec
from benchmarks.payload import event_batches
from benchmarks.rows.stores import new_ledger
from benchmarks.rows.verify import verify

_BATCH = 1000
_LEAST = 10_000


def run(bench: Bench) -> Iterator[Line]:
    """Grow a ledger and note the time on the way; verify beginnings of a large one."""
    most = bench.pick(200_000, 2_000_000)
    sizes = [_LEAST, *(most * part // 8 for part in range(1, 9))]
    yield _append(bench.folder / "growth.sqlite", sizes)
    yield _verify(bench, sizes)


def _append(path: Path, sizes: Sequence[int]) -> Line:
    seconds, spent, pieces = [], 0.0, []
    with new_ledger(path) as book:
        batches = event_batches(_BATCH)
        for size in sizes:
            before, begun = book.size, spent
            while book.size < size:
                events = next(batches)
                start = time.perf_counter()
                book.append_batch(events)
                spent += time.perf_counter() - start
            seconds.append(spent)
            pieces.append((spent - begun) / (book.size - before))
    path.unlink()
    return _line("append, SQLite, batches of 1 000", sizes, seconds, pieces[-1] / pieces[1])


def _verify(bench: Bench, sizes: Sequence[int]) -> Line:
    whole = bench.ledger(Spec(sizes[-1]))
    copy = replace(whole, path=bench.folder / "growth.jsonl")
    shutil.copyfile(whole.path, copy.path)
    counts, seconds = [], []
    for size in reversed(sizes):
        count = copy.cut_to(size)
        times = [verify(copy, entries=count).wall for _ in range(3)]
        counts.append(count)
        seconds.append(min(times))  # what disturbs a run only ever adds to it
    copy.path.unlink()
    each = [second / count for second, count in zip(seconds, counts, strict=True)]
    return _line("verify --strict, batches of 256", counts, seconds, each[0] / each[-2])


def _line(work: str, sizes: Sequence[int], seconds: Sequence[float], growth: float) -> Line:
    fit = statistics.correlation(sizes, seconds) ** 2
    least, most = f"{min(sizes):,}".replace(",", " "), f"{max(sizes):,}".replace(",", " ")
    return Line(
        f"cost against size: {work}",
        f"a straight line from {least} to {most} entries",
        Reach("≥", 0.99, "R²"),
        (fit,),
        f"an entry at the end costs {growth:.2f} x one at the beginning",
    )
