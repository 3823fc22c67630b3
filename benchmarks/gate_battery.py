"""Train for real, healthy and broken, under the production gate; print how often it is right.

Run from the repository's root: ``python -m benchmarks.gate_battery [--quick] [--json]
[--out DIR] [--write docs/gate-battery.md]``. Each unit's result is a file in DIR, so a battery
that was stopped goes on where it was; ``--table`` runs nothing and shows what there is.
Everything is seeded. Two worker processes of one thread each; 90 minutes, with ``--quick`` 10.
"""

import argparse
import json
import os
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.gate import overhead, report_time, table
from benchmarks.gate.gather import gather
from benchmarks.gate.training import Workplace, do
from benchmarks.gate.units import Unit, plan

DEFAULT_FOLDER = Path("build/gate-battery")
_REST = {"overhead": overhead.measure, "report": report_time.measure}


def die_with(parent: int) -> None:
    """End this worker when *parent* is gone, however it went: nobody would take its result."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def work(units: list[Unit], place: Workplace, *, jobs: int) -> None:
    """Do what is not done yet, *jobs* at a time, the first first; a trial waits for its control."""
    todo = [unit for unit in units if place.load(unit) is None]
    total, begun, spent = len(todo), time.monotonic(), 0.0
    done = {unit for unit in units if unit not in set(todo)}
    running: dict[Future[float], Unit] = {}
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=die_with, initargs=(os.getpid(),)) as pool:
        while todo or running:
            ready = [u for u in todo if u.what == "control" or u.control in done]
            for unit in ready[: jobs - len(running)]:
                todo.remove(unit)
                running[pool.submit(do, unit, place)] = unit
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                unit = running.pop(future)
                spent += future.result()
                done.add(unit)
                share = f"{total - len(todo) - len(running)}/{total}"
                clock = f"{time.monotonic() - begun:.0f} s, {spent:.0f} s of CPU"
                print(f"{share:>9}  {clock}  {unit.name}", file=sys.stderr, flush=True)


def measure_rest(place: Workplace, *, quick: bool) -> None:
    """Measure, alone on the machine, what it costs and how soon there is a report."""
    for name, measure in _REST.items():
        path = place.folder / f"{name}.json"
        if not path.exists():
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            path.write_text(json.dumps(measure(place.folder, quick=quick)), encoding="utf-8")


def rest(place: Workplace) -> dict[str, Any]:
    """Return what ``measure_rest`` found."""
    paths = {name: place.folder / f"{name}.json" for name in _REST}
    return {n: json.loads(path.read_bytes()) for n, path in paths.items() if path.exists()}


def main() -> int:
    """Do the battery; return 0 also where something fell short: the table says so."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer seeds and onsets: ten minutes")
    add("--json", action="store_true", help="print the figures as JSON instead of Markdown")
    add("--out", type=Path, default=DEFAULT_FOLDER, help="where results are kept (%(default)s)")
    add("--write", type=Path, help="write the tables into this page")
    add("--jobs", type=int, default=2, help="worker processes (%(default)s)")
    add("--table", action="store_true", help="run nothing: show what there is")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    place, units = Workplace(options.out), plan(quick=options.quick)
    if not options.table:
        work(units, place, jobs=options.jobs)
        measure_rest(place, quick=options.quick)
    figures = gather(units, place) | rest(place)
    figures["machine"] = f"{machine.describe(options.out)}, torch {version('torch')}"
    page = table.markdown(figures)
    if options.write:
        table.write(options.write, page)
    print(json.dumps(figures, indent=2) if options.json else page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
