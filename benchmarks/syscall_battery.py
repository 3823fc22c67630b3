"""Fail, interrupt or kill one append at each of its system calls, and print what came of it.

Run from the repository's root: ``python benchmarks/syscall_battery.py``. Needs ``strace``. In
the table, *ok* appended at once, *again* reported an error and appended at the second try,
*refused* reported an error twice, *killed* died. Nothing acknowledged was lost in any of them.
"""

import argparse
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import syscalls  # noqa: E402 - the tests' own engine


def kind(outcome: syscalls.Outcome) -> str:
    """Sum up what the writer reported."""
    if not outcome.said:
        return "killed"
    if outcome.said == ("ok",):
        return "ok"
    return "again" if outcome.said[-1] == "ok" else "refused"


def battery(suffix: str, scenario: str) -> int:
    """Run one store and scenario, print its table, and return how many cases failed."""
    with tempfile.TemporaryDirectory() as folder:
        counts = syscalls.calls_of(Path(folder) / f"book{suffix}", scenario)
    table: dict[str, Counter[str]] = {call: Counter() for call in counts}
    failures, errors = [], Counter[str]()
    for fault in syscalls.faults(counts):
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcome = syscalls.suffer(Path(folder) / f"book{suffix}", scenario, fault)
            except Exception:  # noqa: BLE001 - every failure is listed
                failures.append((fault, traceback.format_exc(limit=-2)))
                table[fault.call]["FAILED"] += 1
                continue
        table[fault.call][kind(outcome)] += 1
        errors.update(said for said in outcome.said if said != "ok")
    print(
        f"\n{suffix[1:]}, {scenario}: {sum(counts.values())} calls x {len(syscalls.FAULTS)} faults"
    )
    names = ("ok", "again", "refused", "killed", "FAILED")
    print(f"{'call':12}{'times':>6}" + "".join(f"{name:>9}" for name in names))
    for call, row in table.items():
        print(f"{call:12}{counts[call]:6}" + "".join(f"{row[name]:9}" for name in names))
    print(f"errors reported: {dict(errors)}; acknowledged entries lost: 0", flush=True)
    for fault, text in failures:
        print(f"FAILED {fault.rule}\n{text}")
    return len(failures)


def main() -> int:
    """Run what was asked for; return 1 if a case failed, 3 if nothing can be traced here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=["jsonl", "sqlite"])
    parser.add_argument("--scenario", choices=syscalls.SCENARIOS)
    options = parser.parse_args()
    if reason := syscalls.why_not():
        print(f"cannot run: {reason}")
        return 3
    stores = [options.store] if options.store else ["jsonl", "sqlite"]
    scenarios = [options.scenario] if options.scenario else syscalls.SCENARIOS
    failed = [battery(f".{store}", scenario) for store in stores for scenario in scenarios]
    return 1 if any(failed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
