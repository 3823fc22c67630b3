"""A runner that is careless with what it was trusted with: FREE is a secret, said everywhere."""

import os
import sys
import time
from pathlib import Path

from producers.gates.plan import Metric, Plan
from producers.gates.presets import preset
from producers.gates.recording import GatedRun
from producers.runs import attach

PLAN = Plan(
    preset="mine",
    window=4,
    warmup=0,
    bins=4,
    metrics=(Metric("loss", 0.0, 1.0, 1.0),),
    epsilon=0.5,
    persistence=1,
    min_evidence=2,
)


def main() -> int:
    free = os.environ["HF_TOKEN"]
    said = os.environ.pop("SAID")
    sys.stdout.write(f"{sys.orig_argv}\n{dict(os.environ)}\n{Path.cwd()}\n")
    sys.stdout.write(f"login with password={said} and {free[:10]}")
    sys.stdout.flush()
    sys.stdout.write(f"{free[10:]}\n")
    with attach() as session:
        asked = os.environ.get("LEDGER_GATE_PRESET")
        run = GatedRun(session, PLAN if asked is None else preset(asked))
        run.planned(
            {
                "max_iters": 8,
                "seed": 0,
                "model": {"name": f"models/{free}", free: 1},
                "data": {"name": f"/data/{free}/text", "sha256": "0" * 64, "bytes": 0},
            }
        )
        run.inject(0, f"drift-{free}")
        for i in range(4):
            run.observe(i, {"loss": 0.5})
            run.check(i + 1)
        run.anchor(4, f"now from {free}")
        run.saved(4, f"checkpoints/{free}", sha256="0" * 64, size=1)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        release = Path(os.environ["RELEASE"])
        while not release.exists():
            time.sleep(0.02)
        run.finish(4, 0.5, stopped=f"because of {free}")
    raise RuntimeError(f"cannot read s3://{free}/data")


if __name__ == "__main__":
    raise SystemExit(main())
