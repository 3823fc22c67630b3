"""A small real runner, without torch: HOW; healthy until its metric jumps, or not at all."""

import sys
import time

from producers.gates.plan import Metric, Plan
from producers.gates.recording import GatedRun
from producers.runs import attach

PLAN = Plan(
    preset="test",
    window=4,
    warmup=0,
    bins=4,
    metrics=(Metric("loss", 0.0, 1.0, 1.0),),
    epsilon=0.5,
    persistence=2,
    min_evidence=4,
)
PLANNED = {
    "max_iters": 24,
    "seed": 0,
    "model": {"name": "none"},
    "data": {"name": "none", "sha256": "0" * 64, "bytes": 0},
}
JUMP = {"warn": 20, "fail": 12, "long": 12}
NEVER = 10_000


def main(how: str) -> int:
    jump = JUMP.get(how, NEVER)
    with attach() as session:
        run = GatedRun(session, PLAN)
        run.planned(PLANNED)
        for iteration in range(4000 if how == "long" else 24):
            run.observe(iteration, {"loss": 0.9 if iteration >= jump else 0.1})
            run.check(iteration + 1)
            if how == "long":
                time.sleep(0.05)
        sys.stdout.write("trained\n")
        sys.stdout.flush()
        if how == "hang":
            time.sleep(60)
        if how != "crash":
            run.finish(24, 0.1)
    return 7 if how == "crash" else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
