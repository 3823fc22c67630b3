"""A small real runner, without torch: HOW; healthy until its metric jumps, or not at all."""

import sys
import time

from producers.gates import Gate, Metric, Plan
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
    "gate": PLAN.as_data(),
    "max_iters": 24,
    "seed": 0,
    "model": {"name": "none"},
    "data": {"name": "none", "sha256": "0" * 64, "bytes": 0},
}
JUMP = {"healthy": 99, "warn": 20, "fail": 12, "crash": 99, "hang": 99}


def main(how: str) -> int:
    gate = Gate(PLAN)
    with attach() as session:
        session.plan(PLANNED)
        for iteration in range(24):
            values = {"loss": 0.9 if iteration >= JUMP[how] else 0.1}
            session.observe(iteration, values)
            check = gate.observe(iteration, values)
            if check is not None:
                session.check(check.as_data())
        sys.stdout.write("trained\n")
        sys.stdout.flush()
        if how == "hang":
            time.sleep(60)
        if how != "crash":
            session.finish(24, 0.1)
    return 7 if how == "crash" else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
