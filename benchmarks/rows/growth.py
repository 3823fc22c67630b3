"""Cost against size: does a ledger of 2 000 000 entries cost twice one of 1 000 000?

A straight line is fitted to the CPU seconds for each size: over minutes the clock on the
wall measures what else the machine does. R² of a curve that grows with the square of the
size would be about 0.93, so the note also gives the cost of one more entry at the end over
that at the beginning.
"""

import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench import Bench, Line, Reach
from benchmarks.make_ledger import Spec
from benchmarks.payload import event_batches
from benchmarks.rows.stores import new_ledger
from benchmarks.rows.verify import verify

_BATCH = 1000
_LEAST = 10_000


class Point(NamedTuple):
    """The seconds that a ledger of this size took."""

    size: int
    cpu: float
    wall: float


def run(bench: Bench) -> Iterator[Line]:
    """Grow a ledger and note the time on the way; verify beginnings of a large one."""
    most = bench.pick(200_000, 2_000_000)
    sizes = [_LEAST, *(most * part // 8 for part in range(1, 9))]
    yield _append(bench.folder / "growth.sqlite", sizes)
    yield _verify(bench, sizes)


def _append(path: Path, sizes: Sequence[int]) -> Line:
    points, cpu, wall = [], 0.0, 0.0
    with new_ledger(path) as book:
        batches = event_batches(_BATCH)
        for size in sizes:
            while book.size < size:
                events = next(batches)
                begun, used = time.perf_counter(), time.process_time()
                book.append_batch(events)
                wall += time.perf_counter() - begun
                cpu += time.process_time() - used
            points.append(Point(book.size, cpu, wall))
    path.unlink()
    return _line("append, SQLite, batches of 1 000", points)


def _verify(bench: Bench, sizes: Sequence[int]) -> Line:
    whole = bench.ledger(Spec(sizes[-1]))
    copy = replace(whole, path=bench.folder / "growth.jsonl")
    shutil.copyfile(whole.path, copy.path)
    points = []
    for size in reversed(sizes):
        count = copy.cut_to(size)
        spent = [verify(copy, entries=count) for _ in range(3)]
        # What disturbs a run only ever adds to it.
        least = min(each.cpu for each in spent), min(each.wall for each in spent)
        points.append(Point(count, *least))
    copy.path.unlink()
    return _line("verify --strict, batches of 256", points[::-1])


def _line(work: str, points: Sequence[Point]) -> Line:
    sizes = [point.size for point in points]
    cpu = statistics.correlation(sizes, [point.cpu for point in points]) ** 2
    wall = statistics.correlation(sizes, [point.wall for point in points]) ** 2
    early, late = _slope(points[1:4]), _slope(points[-3:])
    least, most = (f"{size:,}".replace(",", " ") for size in (sizes[0], sizes[-1]))
    return Line(
        f"cost against size: {work}",
        f"a straight line from {least} to {most} entries",
        Reach("≥", 0.99, "R²"),
        (cpu,),
        f"by CPU time; by the clock {wall:.4f}; one more entry costs {late / early:.2f} x"
        " at the end what it costs at the beginning",
    )


def _slope(points: Sequence[Point]) -> float:
    """Return the CPU time of one more entry."""
    return (points[-1].cpu - points[0].cpu) / (points[-1].size - points[0].size)
