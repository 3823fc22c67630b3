"""What a row needs, and what it gives: the workbench, and lines of the table.

A row is a function that takes a ``Bench`` and yields ``Line``s. Every line is a ratio
to a limit (or a size) that was measured beside it, never a time on its own: machines
differ, and so does this one from one minute to the next.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.make_ledger import Made, Spec, make

Unit = Literal["x", "%", "MB", "R²"]
_FORMS: dict[Unit, str] = {"x": "{:.2f}", "%": "{:.2f}", "MB": "{:.0f}", "R²": "{:.4f}"}


@dataclass(frozen=True, slots=True)
class Reach:
    """What was asked of a line: at least, or at most, so much; ``None`` asks nothing."""

    sense: Literal["≥", "≤"]
    value: float | None
    unit: Unit = "x"

    def __str__(self) -> str:
        """Show it as the table does."""
        return "-" if self.value is None else f"{self.sense} {self.value:g} {self.unit}"

    def met_by(self, measured: float) -> bool | None:
        """Tell whether *measured* is enough; ``None`` when nothing was asked."""
        if self.value is None:
            return None
        return measured >= self.value if self.sense == "≥" else measured <= self.value


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: the work, its limit, and the ratios of the pairs measured."""

    work: str
    limit: str
    reach: Reach
    values: tuple[float, ...]
    note: str = ""

    @property
    def median(self) -> float:
        """The figure that counts."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """Say ``ok``, ``short``, or nothing when nothing was asked."""
        met = self.reach.met_by(self.median)
        return "-" if met is None else "ok" if met else "short"

    @property
    def measured(self) -> str:
        """Show the median, and the spread if there was more than one measurement."""
        form = _FORMS[self.reach.unit]
        text = form.format(self.median)
        if len(self.values) > 1:
            text += f" [{form.format(min(self.values))}..{form.format(max(self.values))}]"
        return f"{text} {self.reach.unit}"


@dataclass(slots=True)
class Bench:
    """A directory on a real disk, the size of the run, and the ledgers made so far."""

    folder: Path
    quick: bool
    say: Callable[[str], None]
    _made: dict[Spec, Made] = field(default_factory=dict)

    def pick(self, quick: int, full: int) -> int:
        """Return the number for this run."""
        return quick if self.quick else full

    def ledger(self, spec: Spec) -> Made:
        """Return a generated ledger, made once and kept for the rows that follow."""
        if spec not in self._made:
            self.say(f"making a ledger of {spec.entries:,} entries")
            name = f"{spec.kind}-{spec.ids}-{spec.entries}-{spec.batch}.jsonl"
            self._made[spec] = make(self.folder / name, spec)
        return self._made[spec]

    def discard(self, spec: Spec) -> None:
        """Remove a ledger that no other row will ask for."""
        made = self._made.pop(spec, None)
        if made is not None:
            made.path.unlink()


Row = Callable[[Bench], Iterator[Line]]


def ratios(ours: Sequence[float], limits: Sequence[float]) -> tuple[float, ...]:
    """Return how the rate of the work compares with its limit's, pair by pair."""
    return tuple(limit / own for own, limit in zip(ours, limits, strict=True))
