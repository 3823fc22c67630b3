"""How long it takes from a finished run to a report that can be shown to somebody."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_TIMES = 5


def measure(folder: Path, *, quick: bool) -> dict[str, Any]:
    """Record a real run under the wrapper, then time ``ledger report``, Python's start included."""
    iters = 300 if quick else 1500
    with tempfile.TemporaryDirectory(dir=folder) as place:
        key, run = Path(place) / "key", Path(place) / "run"
        _ledger("key", "new", str(key))
        options = ("--key", str(key), "--gate-preset", "tuned_v0", "--outdir", str(run))
        _ledger("run", "gpt", *options, "--", "--max-iters", str(iters))
        seconds = []
        for _ in range(_TIMES):
            begun = time.perf_counter()
            shown = _ledger("report", str(run), "--format", "md")
            seconds.append(time.perf_counter() - begun)
            assert b"# Run report" in shown
    return {
        "iters": iters,
        "median": statistics.median(seconds),
        "least": min(seconds),
        "most": max(seconds),
    }


def _ledger(*arguments: str) -> bytes:
    command = [str(Path(sys.executable).with_name("ledger")), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout
