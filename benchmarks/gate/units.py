"""What the battery does, cut into units that can be done alone, in an order that pays early.

A control is a healthy training; on its way it leaves its state behind at some
onsets. A trial branches off at such an onset with a fault. Everything is fixed
here: seeds, sizes, texts, onsets, doses.
"""

from dataclasses import dataclass
from typing import Literal

from producers.gates import corruption

Text = Literal["stdlib", "pydoc"]
Size = Literal["small", "medium"]

ITERATIONS = 3000
WINDOW = 100  # tuned_v0's
ALIGNED = 2000
"""An onset that is the end of a window: the next check sees nothing but the fault."""

_OTHER_PHASES = 3
_STRIDE, _STEP = 37, 33  # 37 is coprime to 100: the onsets spread over the whole window
_TUNES = 400


@dataclass(frozen=True, slots=True)
class Config:
    """A model size, a text and a way to train on it."""

    name: str
    size: Size
    text: Text
    lr: float
    schedule: Literal["cosine", "linear"]
    dropout: float
    seeds: tuple[int, ...]

    @property
    def layers(self) -> int:
        """How many blocks."""
        return 2 if self.size == "small" else 4

    @property
    def width(self) -> int:
        """How wide they are."""
        return 64 if self.size == "small" else 96

    @property
    def batch(self) -> int:
        """How many sequences of 64 bytes a step takes."""
        return 16 if self.size == "small" else 8

    @property
    def other_text(self) -> Text:
        """The text that this one is switched to."""
        return "pydoc" if self.text == "stdlib" else "stdlib"


CONFIGS = (
    Config("small-stdlib", "small", "stdlib", 1e-3, "cosine", 0.0, tuple(range(101, 111))),
    Config("small-pydoc", "small", "pydoc", 2e-3, "linear", 0.0, tuple(range(201, 211))),
    Config("medium-pydoc", "medium", "pydoc", 6e-4, "linear", 0.1, tuple(range(301, 306))),
    Config("medium-stdlib", "medium", "stdlib", 1e-3, "cosine", 0.0, tuple(range(401, 406))),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault and its dose.

    *fault* and *amount* are a corruption's; ``switch`` is other text instead.
    *horizon* is for how many iterations it is watched. *severe* ones were asked
    to be seen within one window, *asked* ones within two.
    """

    name: str
    fault: corruption.Kind | Literal["switch"]
    amount: float | None = None
    horizon: int = 2 * WINDOW
    length: int | None = None
    severe: bool = False
    asked: bool = False
    declared: bool = False


NAMED = (
    Kind("permute 15 %", "permute", 0.15, asked=True),
    Kind("random 50 %", "random", 0.5, severe=True, asked=True),
    Kind("mask 30 %", "mask", 0.3, severe=True, asked=True),
    Kind("LR x 30", "lr", 30.0, severe=True, asked=True),
    Kind("collapse to rank 1", "collapse", severe=True, asked=True),
    Kind("labels shuffled", "labels", severe=True, asked=True),
)
WEAK = (
    Kind("permute 5 %", "permute", 0.05),
    Kind("permute 10 %", "permute", 0.1),
    Kind("random 5 %", "random", 0.05),
    Kind("random 10 %", "random", 0.1),
    Kind("mask 10 %", "mask", 0.1),
    Kind("labels 10 %", "labels", 0.1),
    Kind("LR x 3", "lr", 3.0),
    Kind("LR x 10", "lr", 10.0),
    Kind("LR 0", "lr", 0.0),
    Kind("stuck batch", "stuck"),
    Kind("slow drift: random, 0 to 50 % in 1000", "drift", 0.5, horizon=900, length=1000),
    Kind("data switch, not declared", "switch"),
    Kind("data switch, declared", "switch", horizon=900, declared=True),
)
KINDS = {kind.name: kind for kind in (*NAMED, *WEAK)}


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing to do; *onset* is a trial's, *kind* is a trial's or ``""``."""

    what: Literal["control", "trial", "tune"]
    config: Config
    seed: int
    kind: str = ""
    onset: int = 0

    @property
    def name(self) -> str:
        """What its result is called."""
        parts = [self.what, self.config.name, str(self.seed)]
        if self.kind:
            parts += ["".join(c if c.isalnum() else "-" for c in self.kind), str(self.onset)]
        return "_".join(parts)

    @property
    def control(self) -> "Unit":
        """The healthy training that this one needs the state of."""
        return Unit("control", self.config, self.seed)


def onsets(seed: int) -> tuple[int, ...]:
    """Return where the control of this seed leaves its state: aligned first, then other phases."""
    phases = dict.fromkeys(1 + (seed * _STRIDE + k * _STEP) % 99 for k in range(_OTHER_PHASES))
    return (ALIGNED, *(ALIGNED + phase for phase in phases))


def plan(*, quick: bool) -> list[Unit]:
    """Return all units in order; a unit may need the control of the same seed done before."""
    controls = _interleaved(quick=quick)
    half = len(controls) // 2
    first, rest = controls[:half], controls[half:]
    named = [kind.name for kind in NAMED]
    weak = [kind.name for kind in WEAK]
    weakly = first[: 2 if quick else 8]
    tunes = [Unit("tune", unit.config, unit.seed) for unit in first[: 2 if quick else 10]]
    return [
        *first,
        *_trials(first, named, phases=slice(0, 1)),
        *_trials(weakly, weak, phases=slice(0, 1)),
        *rest,
        *_trials(first, named, phases=slice(1, 3 if quick else None)),
        *tunes,
        *_trials(weakly, weak, phases=slice(1, 1 if quick else 3)),
        *_trials(rest, named, phases=slice(0, 1 if quick else None)),
    ]


def _interleaved(*, quick: bool) -> list[Unit]:
    """Return the controls; any beginning of the list is spread over the configurations."""
    places = [
        (place / len(config.seeds), config.name, Unit("control", config, seed))
        for config in CONFIGS
        for place, seed in enumerate(config.seeds)
    ]
    units = [unit for *_, unit in sorted(places, key=lambda place: place[:2])]
    if not quick:
        return units
    return [next(u for u in units if u.config is config) for config in CONFIGS] + [
        unit for unit in units if unit.config.size == "small"
    ][2:4]


def _trials(controls: list[Unit], kinds: list[str], *, phases: slice) -> list[Unit]:
    return [
        Unit("trial", unit.config, unit.seed, kind, onset)
        for unit in controls
        for onset in onsets(unit.seed)[phases]
        for kind in kinds
    ]
