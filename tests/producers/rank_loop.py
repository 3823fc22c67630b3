"""A loop of several ranks without a model: HOW RANKS; what goes wrong, if anything, is HOW."""

import json
import os
import signal
import sys
import time

from ledger import LedgerError
from producers.gates import ForecastPlan, View
from producers.gates.distributed import RankError, find_seat
from producers.gates.ranks import RankHead
from producers.gates.shared import SharedRun, shared_run

PLAN = ForecastPlan(
    preset="test",
    window=4,
    block=2,
    warmup=0,
    reference=4,
    views=(View("window", 2, 0, 8),),
    min_errors=1,
    metrics={"loss": "rise"},
    warn_z=5.0,
    fail_z=6.0,
    min_evidence=1,
)
ITERS = 8
BAD = 5  # the iteration at which something goes wrong


def _loss(rank: int, iteration: int) -> float:
    return 1 / (3 + rank + iteration)


def _go_wrong(how: str, run: SharedRun, iteration: int) -> None:
    guilty = run.group.is_chief if how == "lose-chief" else not run.group.is_chief
    if iteration != BAD:
        return
    if not guilty:
        if how == "lose-chief":
            time.sleep(60)
    elif how in {"die", "lose-chief"}:
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "hang":
        time.sleep(60)
    elif how == "run-ahead":
        run.observe(iteration + 1, {"loss": 0.0})
    elif how == "lose-ledger":
        _lose_at_the_end(run)


def _lose_at_the_end(run: SharedRun) -> None:
    finish = run._ledger.finish

    def finish_and_lose(iters: int) -> RankHead:
        said = finish(iters)
        (run._ledger.outdir / said.path).unlink()
        return said

    run._ledger.finish = finish_and_lose  # type: ignore[method-assign]


def _loop(how: str, run: SharedRun) -> None:
    rank = run.group.rank
    seed = rank if how == "disagree" else 0
    data = {"name": "none", "sha256": "0" * 64, "bytes": 0}
    run.planned({"max_iters": ITERS, "seed": seed, "model": {"name": "none"}, "data": data})
    for i in range(ITERS):
        _go_wrong(how, run, i)
        loss = float("nan") if (how, rank, i) == ("nan", 1, BAD) else _loss(rank, i)
        run.observe(i, {"loss": loss})
        run.check(i + 1)
    run.finish(ITERS, _loss(rank, ITERS))


def main() -> int:
    how, ranks = sys.argv[1], int(sys.argv[2])
    seat = find_seat(ranks, os.environ)
    if seat is not None and how == "never-join":
        return 7
    command = (sys.executable, *sys.argv)
    timeout = 8.0 if how == "hang" else 60.0
    try:
        with shared_run(PLAN, seat, ranks=ranks, command=command, timeout=timeout) as run:
            if seat is not None:
                hidden = [name for name in os.environ if name == "LEDGER_KEY_FD"]
                print(
                    json.dumps({"rank": run.group.rank, "pid": os.getpid(), "hidden": hidden}),
                    flush=True,
                )
            _loop(how, run)
    except RankError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except LedgerError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 9 if seat is not None and how == "end-badly" else 0


if __name__ == "__main__":
    raise SystemExit(main())
