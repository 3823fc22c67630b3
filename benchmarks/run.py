"""Measure every row and print the table.

    python -m benchmarks.run                  full size, 10 to 15 minutes on a quiet machine
    python -m benchmarks.run --quick          small, a few minutes
    python -m benchmarks.run --only verify    one row; may be given several times
    python -m benchmarks.run --write docs/benchmarks.md

The exit code is 0 even where a line falls short: this is a measurement, not a test. It is
3 if something could not be measured; the other rows are printed all the same.
"""

import argparse
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine, table
from benchmarks.bench import Bench, Line
from benchmarks.rows import ROWS

_BROKEN, _USAGE, _TERMINATED = 3, 64, 143


def main() -> int:
    """Run the command line; return its exit code."""
    parser = _parser()
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))  # gigabytes must not stay
    if options.write and options.only:
        parser.error("--write needs all rows")
    names = options.only or list(ROWS)
    parent = options.dir or Path(tempfile.gettempdir())
    if not parent.is_dir():
        parser.error(f"--dir {parent}: no such directory")
    if machine.is_ram(parent):
        _say(f"{parent} lies in memory, where a flush costs nothing: give --dir on a disk")
        return _USAGE
    conditions: dict[str, object] = {
        "machine": machine.describe(parent),
        "load": machine.load(),
        "size": "quick" if options.quick else "full",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    _say(f"{conditions['machine']}\nload {conditions['load']:.1f}\n")
    with tempfile.TemporaryDirectory(prefix="ledger-bench-", dir=parent) as folder:
        bench = Bench(Path(folder), options.quick, _say)
        lines, failed = _measure(bench, names)
    print(table.as_json(lines, conditions) if options.json else table.as_markdown(lines))
    if failed:
        _say(f"could not be measured: {', '.join(failed)}")
        return _BROKEN
    if options.write:
        table.write_into(options.write, lines, conditions)
    return 0


def _measure(bench: Bench, names: Sequence[str]) -> tuple[list[Line], list[str]]:
    """Return the lines, and the names of the rows that failed."""
    lines, failed = [], []
    for name in names:
        try:
            for line in ROWS[name](bench):
                bench.say(table.as_text(line))
                lines.append(line)
        except Exception:  # noqa: BLE001 - an hour of other rows must not be lost with it
            traceback.print_exc()
            failed.append(name)
    return lines, failed


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="small sizes, fewer pairs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", action="append", choices=list(ROWS), help="measure this row")
    parser.add_argument("--dir", type=Path, help="where the ledgers go; must be a real disk")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="refresh the table of PAGE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
