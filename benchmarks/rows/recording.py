"""How much of a training loop's CPU time goes into recording it.

Two loops, one with and one without, differ by more than a per cent from one minute to
the next. So the share is taken inside one loop, by the clocks of its threads: what the
loop's own thread spends in ``record``, and all that the recorder's thread spends, over
what the loop's thread spends on its steps.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from benchmarks.bench import Bench, Line, Reach
from benchmarks.payload import KIND, SUBJECT, data_of, gate_checked
from benchmarks.rows.stores import new_ledger
from ledger import Recorder

_STEP = 0.030  # seconds of CPU
_THREAD = "ledger-recorder"


def run(bench: Bench) -> Iterator[Line]:
    """Train for a while, recording one event an iteration; several times over."""
    if find_spec("torch") is None:
        bench.say("skipped: torch is not installed (pip install -e '.[train]')")
        return
    step = _calibrated()
    for kind in (KIND, "gate.checked"):
        measured = [_share(bench, step, kind, number=n) for n in range(bench.pick(3, 5))]
        cost = sorted(each for _, each, _ in measured)[len(measured) // 2]
        length = sorted(each for _, _, each in measured)[len(measured) // 2]
        yield Line(
            f"recording {kind}, one an iteration",
            "CPU time of the loop's own steps",
            Reach("≤", 1, "%"),
            tuple(share for share, _, _ in measured),
            f"{cost * 1e6:.0f} µs an event, steps of {length * 1e3:.0f} ms CPU",
        )


def _share(
    bench: Bench, step: Callable[[], None], kind: str, *, number: int
) -> tuple[float, float, float]:
    """Return the share in per cent, the CPU seconds an event costs, and those of a step."""
    steps = bench.pick(150, 300)
    rng = random.Random(number)  # noqa: S311 - repeatable, not secret
    maker = data_of if kind == KIND else gate_checked
    inside = 0.0
    with new_ledger(bench.folder / f"recording-{kind}-{number}.sqlite") as book:
        recorder = Recorder(book)
        recorder.record(kind, SUBJECT, maker(0, rng))  # imports and first contact with the disk
        recorder.flush()
        thread = _clock_of(_THREAD)
        theirs, own = time.clock_gettime(thread), time.thread_time()
        for iteration in range(1, steps + 1):
            step()
            data = maker(iteration, rng)
            begun = time.thread_time()
            recorder.record(kind, SUBJECT, data)
            inside += time.thread_time() - begun
        begun = time.thread_time()
        recorder.flush()
        inside += time.thread_time() - begun
        own = time.thread_time() - own - inside
        cost = inside + time.clock_gettime(thread) - theirs
        recorder.close()
        assert book.size == steps + 2
    return 100 * cost / own, cost / steps, own / steps


def _clock_of(name: str) -> int:
    found = [thread for thread in threading.enumerate() if thread.name == name]
    assert len(found) == 1, found
    assert found[0].ident is not None
    return time.pthread_getcpuclockid(found[0].ident)


def _calibrated() -> Callable[[], None]:
    """Return a training step of a small network that takes about 30 ms of one core."""
    import torch  # noqa: PLC0415 - an extra

    torch.set_num_threads(1)
    torch.manual_seed(1)
    layers = [torch.nn.Linear(256, 512), torch.nn.GELU(), torch.nn.Linear(512, 256)]
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.AdamW(model.parameters())
    inputs = torch.randn(512, 256)

    def passes(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            loss = ((model(inputs) - inputs) ** 2).mean()
            loss.backward()
            optimizer.step()

    passes(3)
    begun = time.thread_time()
    passes(10)
    count = max(1, round(_STEP / ((time.thread_time() - begun) / 10)))
    return lambda: passes(count)
