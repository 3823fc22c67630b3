"""Kill writers at random moments, hundreds of times a store; print what was torn and recovered.

Run from the repository's root: ``python benchmarks/crash_battery.py --kills 300``. The run is
seeded, and ``--state FILE`` lets a run that was interrupted go on where it stopped.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from crashing import Battery  # noqa: E402 - the tests' own battery

ROUND = 20
"""Kills a ledger: then a new one is begun, so that verifying it each time stays quick."""


def run(suffix: str, kills: int, seed: int, state: Path | None) -> Counter[str]:
    """Kill *kills* writers of one store, in rounds; resume from *state*."""
    known = json.loads(state.read_text()) if state and state.exists() else {}
    counts = Counter(known.get(suffix, {}))
    while counts["kills"] < kills:
        with tempfile.TemporaryDirectory() as folder:
            battery = Battery(Path(folder) / f"book{suffix}", seed=seed + counts["kills"])
            for _ in range(min(ROUND, kills - counts["kills"])):
                battery.kill()
        counts += battery.counts
        if state:
            state.write_text(json.dumps({**known, suffix: counts}))
    return counts


def main() -> None:
    """Run the stores that were asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=["jsonl", "sqlite"])
    parser.add_argument("--state", type=Path)
    options = parser.parse_args()
    names = ("kills", "acknowledged", "torn ends", "torn entries", "torn lines", "recoveries")
    print(f"{'store':8}" + "".join(f"{name:>14}" for name in names) + f"{'lost':>8}{'seconds':>9}")
    for store in [options.store] if options.store else ["jsonl", "sqlite"]:
        begun = time.monotonic()
        counts = run(f".{store}", options.kills, options.seed, options.state)
        row = "".join(f"{counts[name]:14}" for name in names)
        print(f"{store:8}{row}{0:8}{time.monotonic() - begun:9.0f}", flush=True)


if __name__ == "__main__":
    main()
