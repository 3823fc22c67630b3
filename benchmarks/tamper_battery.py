"""Flip every byte of a ledger of fifty entries, each alone, three ways; print what came of it.

Run from the repository's root: ``python benchmarks/tamper_battery.py [--store jsonl|sqlite]
[--stride N]``. Each flip must end in exit 2, or leave verdict and projections as they were.
"""

import argparse
import collections
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import history  # noqa: E402 - the tests' own ledger
from tampering import Bench, judged, masks  # noqa: E402 - the tests' own judge

SEED = 20260115


def flip_all(honest: str, offsets: range) -> tuple[collections.Counter[str], list[str]]:
    """Flip the bytes at *offsets*, each alone, three ways."""
    counts: collections.Counter[str] = collections.Counter()
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(honest), Path(folder) / Path(honest).name)
        for offset in offsets:
            for mask in masks(offset, SEED):
                content = bench.flipped([(offset, mask)])
                try:
                    complaint = bench.complaint(content)
                except Exception as error:  # noqa: BLE001 - any escape is a failure to list
                    complaint = f"{type(error).__name__}: {error}"
                if complaint:
                    failures.append(f"byte {offset} ^ {mask:#04x}: {complaint}")
                    counts["FAILED"] += 1
                else:
                    counts[f"exit {judged(bench.copy)['exit_code']}"] += 1
    return counts, failures


def battery(suffix: str, stride: int, jobs: int) -> int:
    """Run one store and print its row; return how many flips failed."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        honest = history.write(Path(folder) / f"honest{suffix}")
        size = honest.stat().st_size
        parts = [(str(honest), range(part * stride, size, jobs * stride)) for part in range(jobs)]
        with multiprocessing.Pool(jobs) as pool:
            results = pool.starmap(flip_all, parts)
    total = sum((counts for counts, _ in results), collections.Counter())
    failures = [line for _, lines in results for line in lines]
    flips, seconds = sum(total.values()), time.monotonic() - begun
    print(
        f"{suffix}: {size} bytes, {flips} flips in {seconds:.0f} s: {dict(sorted(total.items()))}"
    )
    for line in failures[:50]:
        print("   ", line)
    return len(failures)


def main() -> int:
    """Run the stores that were asked for; return 1 if a flip went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=["jsonl", "sqlite"])
    parser.add_argument("--stride", type=int, default=1, help="take every N-th byte only")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    options = parser.parse_args()
    stores = [f".{options.store}"] if options.store else [".jsonl", ".sqlite"]
    failed = [battery(suffix, options.stride, options.jobs) for suffix in stores]
    return 1 if any(failed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
