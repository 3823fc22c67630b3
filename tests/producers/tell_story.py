"""A small real runner, without torch: HOW [SECRET…]; tells a story of two checks, then does HOW.

Which HOW there are is in ``main``.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from producers.gates.plan import Metric, Plan
from producers.gates.presets import preset
from producers.gates.recording import GatedRun
from producers.gates.resume import record_save
from producers.runs import Session, attach

PLAN = Plan(
    preset="test",
    window=4,
    warmup=0,
    bins=4,
    metrics=(Metric("a", 0.0, 1.0, 0.25), Metric("b", 0.0, 10.0, 0.75)),
    epsilon=0.5,
    persistence=1,
    min_evidence=2,
)
PLANNED = {
    "max_iters": 8,
    "seed": 0,
    "model": {"name": "none"},
    "data": {"name": "none", "sha256": "0" * 64, "bytes": 0},
}
CHECKED = 8


def _train(run: GatedRun, begin: int, end: int, *, pause: float = 0.0) -> None:
    """Observe and check; from iteration 12 on the metrics are elsewhere, and the gate fails."""
    for i in range(begin, end):
        run.observe(i, {"a": 0.1 if i < 12 else 0.9, "b": 1.0 if i < 12 else 9.0})
        run.check(i + 1)
        time.sleep(pause)


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def _save(run: GatedRun, session: Session) -> None:
    folder = session.outdir / "checkpoint-8"
    folder.mkdir()
    (folder / "weights").write_bytes(b"w" * 100)
    record_save(run, session, folder, iteration=CHECKED)
    _say("saved")


def _kill(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def _ignore() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _say("deaf")
    time.sleep(60)


def _wait_for_sigterm() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _say("ready")
    time.sleep(60)


def _orphan() -> None:
    """A grandchild that keeps our output open, and writes on with our key if it can."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    Path(os.environ["LEDGER_OUTDIR"]).with_name("orphan.pid").write_text(str(child.pid))


def _grow() -> None:
    """Take memory until there is none: a kernel would send SIGKILL, a limit ends in an error."""
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    taken = []
    while True:
        taken.append(bytearray(1 << 26))


def main() -> int:
    how = sys.argv[1]
    if how == "show-environment":
        shown = {k: v for k, v in os.environ.items() if k.startswith("LEDGER_")}
        sys.stdout.write(json.dumps(shown))
    ends: dict[str, Callable[[], None]] = {
        "sigkill": _kill(signal.SIGKILL),
        "sigterm": _kill(signal.SIGTERM),
        "hang": lambda: time.sleep(60),
        "ignore": _ignore,
        "wait-for-sigterm": _wait_for_sigterm,
        "orphan": _orphan,
        "grow": _grow,
    }
    with attach() as session:
        # What the wrapper was asked for is what must be planned; without that, a plan of ours.
        asked = os.environ.get("LEDGER_GATE_PRESET")
        run = GatedRun(session, PLAN if asked is None else preset(asked))
        run.planned(PLANNED)
        _train(run, 0, CHECKED)
        _say("told")
        if how.startswith("save"):
            _save(run, session)
        if how.endswith("go-on"):
            _train(run, CHECKED, 4000, pause=0.05)
        elif how in ends:
            ends[how]()
        else:
            run.finish(CHECKED, 7.0)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
