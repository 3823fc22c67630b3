"""A small real runner, without torch: HOW; tells a story of two checks, then does HOW."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from producers.gates import Gate, Metric, Plan
from producers.runs import Session, attach

PLAN = Plan(
    preset="test",
    window=4,
    warmup=0,
    bins=4,
    metrics=(Metric("a", 0.0, 1.0, 0.25), Metric("b", 0.0, 10.0, 0.75)),
    epsilon=0.5,
    persistence=2,
    min_evidence=8,
)
PLANNED = {
    "gate": PLAN.as_data(),
    "max_iters": 10,
    "seed": 0,
    "model": {"name": "none"},
    "data": {"name": "none", "sha256": "0" * 64, "bytes": 0},
}


def _story(session: Session) -> None:
    gate = Gate(PLAN)
    session.plan(PLANNED)
    for i in range(8):
        values = {"a": 0.5, "b": float(i)}
        session.observe(i, values)
        check = gate.observe(i, values)
        if check is not None:
            session.check(check.as_data())


def main() -> int:
    how = sys.argv[1]
    if how == "show-environment":
        shown = {k: v for k, v in os.environ.items() if k.startswith("LEDGER_")}
        sys.stdout.write(json.dumps(shown))
    session = attach()
    _story(session)
    print("told", flush=True)
    if how == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "sigterm":
        os.kill(os.getpid(), signal.SIGTERM)
    elif how == "hang":
        time.sleep(60)
    elif how == "ignore":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        print("deaf", flush=True)
        time.sleep(60)
    elif how == "close-on-sigterm":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        print("ready", flush=True)
        try:
            time.sleep(60)
        finally:
            session.close()
    elif how == "orphan":
        # A grandchild that keeps our output open, and writes on with our key if it can.
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
        Path(os.environ["LEDGER_OUTDIR"]).with_name("orphan.pid").write_text(str(child.pid))
    else:
        session.finish(8, 7.0)
    session.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
