"""Let 8 processes append 500 events each to one ledger at once, and check every one of them.

Run from the repository's root: ``python benchmarks/concurrency_battery.py``.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from crowd import crowd  # noqa: E402 - the tests' own crowd


def main() -> None:
    """Run the stores that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--appends", type=int, default=500)
    parser.add_argument("--store", choices=["jsonl", "sqlite"])
    options = parser.parse_args()
    for store in [options.store] if options.store else ["jsonl", "sqlite"]:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            crowd(
                Path(folder) / f"book.{store}",
                processes=options.processes,
                appends=options.appends,
            )
        total = options.processes * options.appends
        took = time.monotonic() - begun
        print(f"{store}: {total} entries of {options.processes} processes, one chain,"
              f" none lost, none twice, VERIFIED, {took:.0f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
