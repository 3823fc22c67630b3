"""How much CPU time the metrics, the gate and the ledger add to a training.

Two trainings of one seed take their steps in turn, in one process, so that both
meet the same minute of the same machine; one of them is recorded under the gate,
in a ledger on disk. What the bare one takes is its thread's time; what the other
takes is the rest of the process's: the recorder's own thread is in it.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gate.statistics import bootstrap
from benchmarks.gate.training import PRESET, corpus, settings
from benchmarks.gate.units import CONFIGS, WINDOW, Config
from ledger import Key, Ledger
from producers.gates.presets import preset
from producers.gates.recording import GatedRun
from producers.gates.training import Trainer
from producers.runs.session import Session

_SEED = 7
_WARM_WINDOWS = 2  # torch's first steps, and the first contact with the disk


def measure(folder: Path, *, quick: bool, config: Config = CONFIGS[0]) -> dict[str, Any]:
    """Return the overhead's ratio to a bare step with its bounds, and what each part takes."""
    windows = 6 if quick else 20
    with tempfile.TemporaryDirectory(dir=folder) as place:
        book = Path(place) / "ledger.sqlite"
        runner = Key.generate(name="runner")
        with Ledger.create(book, name="bench", key=Key.generate(name="owner")) as new:
            new.authorize(runner.public, name="runner", roles=["runner"])
        with Session(Ledger.open(book, key=runner), "bench", Path(place)) as session:
            parts = _turns(session, config, windows)
    parts = parts[_WARM_WINDOWS:]
    ratio, low, high = bootstrap([(more - bare, bare) for more, bare in parts])
    bare = sum(bare for _, bare in parts) / len(parts) / WINDOW
    return {
        "config": config.name,
        "ratio": ratio,
        "low": low,
        "high": high,
        "windows": len(parts),
        "step_ms": 1000 * bare,
    }


def _turns(session: Session, config: Config, windows: int) -> list[tuple[float, float]]:
    """Return, for each window, the CPU seconds of the watched training and of the bare one."""
    made = settings(config, _SEED)
    text = corpus(config.text)
    watched, bare = Trainer(made, text), Trainer(made, text)
    run = GatedRun(session, preset(PRESET))
    run.planned(made.as_data(text))
    parts = []
    for window in range(windows):
        begun, alone = time.process_time(), 0.0
        for iteration in range(window * WINDOW, (window + 1) * WINDOW):
            first_bare = iteration % 2 == 0  # neither always has the other's data in its cache
            if first_bare:
                alone += _step(bare, iteration)
            watched.step(iteration)
            if run.wants(iteration):
                with run.measuring():
                    values = watched.observe()
                run.observe(iteration, values)
            run.check(iteration + 1)
            if not first_bare:
                alone += _step(bare, iteration)
        parts.append((time.process_time() - begun - alone, alone))
    return parts


def _step(trainer: Trainer, iteration: int) -> float:
    begun = time.thread_time()
    trainer.step(iteration)
    return time.thread_time() - begun
