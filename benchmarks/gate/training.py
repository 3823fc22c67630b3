"""Do one unit: train for real, ask the production gate, keep what it said and what it was told."""

import json
import pickle
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.gate.units import ITERATIONS, KINDS, Config, Kind, Unit, onsets
from producers.gates import open_gate
from producers.gates.check import Check
from producers.gates.corpus import Corpus, load_corpus, stdlib_corpus
from producers.gates.corruption import Corruption
from producers.gates.presets import preset
from producers.gates.training import Settings, Trainer

PRESET = "tuned_v0"
TUNE_PRESET = "short_v0"
TUNE_ITERATIONS = 400
_TUNE_LR = 5e-4


@dataclass(frozen=True, slots=True)
class Workplace:
    """A directory of results, one file a unit, and of the states that trials branch from."""

    folder: Path

    def result(self, unit: Unit) -> Path:
        """Where the unit's result is, once it is done."""
        return self.folder / f"{unit.name}.json"

    def state(self, unit: Unit, onset: int) -> Path:
        """Where the state of the unit's control at *onset* is."""
        return self.folder / f"{unit.control.name}_{onset}.state"

    def load(self, unit: Unit) -> dict[str, Any] | None:
        """Return the result of a unit, ``None`` if it has to be done (again)."""
        try:
            result: dict[str, Any] = json.loads(self.result(unit).read_bytes())
        except (OSError, ValueError):
            return None
        return result if result["gate"] == gate_of(unit).as_data() else None


def gate_of(unit: Unit) -> Any:
    """Return the plan that a unit is judged by."""
    return preset(TUNE_PRESET if unit.what == "tune" else PRESET)


def do(unit: Unit, place: Workplace) -> float:
    """Do *unit*, write its result, and return how many seconds of CPU it took."""
    begun = time.process_time()
    work = {"control": _control, "trial": _trial, "tune": _tune}[unit.what]
    told = work(unit, place)
    spent = time.process_time() - begun
    result = {
        "unit": unit.name,
        "gate": json.loads(json.dumps(gate_of(unit).as_data())),
        "cpu_s": round(spent, 2),
        **told,
    }
    _write(place.result(unit), json.dumps(result).encode())
    return spent


def _control(unit: Unit, place: Workplace) -> dict[str, Any]:
    trainer = Trainer(settings(unit.config, unit.seed), corpus(unit.config.text))
    watched = _Watched(trainer, open_gate(gate_of(unit)))
    begin = 0
    for onset in sorted(onsets(unit.seed)):
        watched.advance(begin, onset)
        _write(place.state(unit, onset), pickle.dumps((trainer.state(), watched.gate)))
        begin = onset
    watched.advance(begin, ITERATIONS)
    return watched.told()


def _trial(unit: Unit, place: Workplace) -> dict[str, Any]:
    kind, onset = KINDS[unit.kind], unit.onset
    text = unit.config.other_text if kind.fault == "switch" else unit.config.text
    trainer = Trainer(settings(unit.config, unit.seed, kind, onset), corpus(text))
    state, gate = pickle.loads(place.state(unit, onset).read_bytes())  # noqa: S301 - our own file
    trainer.restore(state)
    watched = _Watched(trainer, gate)
    if kind.declared:
        gate.anchor(onset)
    watched.advance(onset, min(ITERATIONS, onset + kind.horizon), stop=kind.asked)
    return watched.told()


def _tune(unit: Unit, place: Workplace) -> dict[str, Any]:
    """Go on from a control's weights on the other text, with a new optimizer: a fine-tune."""
    config = unit.config
    made = Settings(
        layers=config.layers,
        width=config.width,
        batch=config.batch,
        max_iters=TUNE_ITERATIONS,
        seed=unit.seed + 5000,
        lr=_TUNE_LR,
        schedule="linear",
        dropout=config.dropout,
        gate=gate_of(unit),
    )
    trainer = Trainer(made, corpus(config.other_text))
    state, _ = pickle.loads(place.state(unit, min(onsets(unit.seed))).read_bytes())  # noqa: S301
    trainer.restore({**trainer.state(), "model": state["model"]})
    watched = _Watched(trainer, open_gate(made.gate))
    watched.advance(0, TUNE_ITERATIONS)
    return watched.told()


class _Watched:
    """A training, and a gate that looks on."""

    def __init__(self, trainer: Trainer, gate: Any) -> None:
        self.trainer = trainer
        self.gate = gate
        self._values: list[tuple[int, dict[str, float]]] = []
        self._checks: list[Check] = []

    def advance(self, begin: int, end: int, *, stop: bool = False) -> None:
        """Train the iterations [begin, end); if *stop*, no further than the first fail."""
        for iteration in range(begin, end):
            self.trainer.step(iteration)
            if self.gate.wants(iteration):
                values = self.trainer.observe()
                self.gate.observe(iteration, values)
                self._values.append((iteration, values))
            check = self.gate.check(iteration + 1)
            if check is not None:
                self._checks.append(check)
                if stop and check.decision == "fail":
                    return

    def told(self) -> dict[str, Any]:
        """Return what was measured, and what the gate made of it."""
        names = sorted(self._values[0][1])
        return {
            "checks": list(map(_shown, self._checks)),
            "names": names,
            "iters": [iteration for iteration, _ in self._values],
            "values": {n: [float(f"{v[n]:.9g}") for _, v in self._values] for n in names},
        }


def _shown(check: Check) -> dict[str, Any]:
    forecast = check.forecast.as_data() if check.forecast else {}
    return {
        "iter": check.iter,
        "decision": check.decision,
        "reason": check.reason,
        **{name: forecast.get(name) for name in ("metric", "view", "z")},
    }


def settings(config: Config, seed: int, kind: Kind | None = None, onset: int = 0) -> Settings:
    """Return the settings of a control, or of a trial with its fault."""
    fault = None
    if kind is not None and kind.fault != "switch":
        fault = Corruption(onset, kind.length, kind.amount, kind=kind.fault)
    return Settings(
        layers=config.layers,
        width=config.width,
        batch=config.batch,
        max_iters=ITERATIONS,
        seed=seed,
        lr=config.lr,
        schedule=config.schedule,
        dropout=config.dropout,
        corrupt=fault,
        gate=preset(PRESET),
    )


@cache
def corpus(text: str) -> Corpus:
    """Return a text that every Python has; it is read once."""
    return stdlib_corpus() if text == "stdlib" else load_corpus(None)


def _write(path: Path, content: bytes) -> None:
    """Put a whole file in place, or none: a battery may be killed at any moment."""
    draft = path.with_suffix(".draft")
    draft.write_bytes(content)
    draft.replace(path)
