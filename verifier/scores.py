"""How far one view of one metric misses its forecast, and how far it may (gate.md 3.3, 3.4).

All in integers and exact fractions; *size* is the number of observations of a whole block.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from verifier.blocks import Block, Pattern

__all__ = ["Miss", "Score", "Trial", "miss", "noise", "past", "scored", "spread"]

Miss = tuple[int, int, int]
"""Position, and the miss as numerator and denominator, in units of 2^-20."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a score rests on: the miss, its variance, and the blocks that were compared."""

    error: Fraction
    variance: Fraction
    tested: Sequence[Block]
    reference: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Score:
    """A view's miss in terms of its variance; ``square`` is z squared."""

    view: str
    trial: Trial
    square: Fraction


def miss(pattern: Pattern, metric: int, size: int) -> Miss | None:
    """Return the miss of a metric, or ``None`` where it is not whole."""
    blocks = (*pattern.tested, *pattern.reference)
    if any(block.count[metric] != size for block in blocks):
        return None
    tested = sum(block.total[metric] for block in pattern.tested)
    forecast = sum(
        weight * block.total[metric]
        for weight, block in zip(pattern.weights, pattern.reference, strict=True)
    )
    number = len(pattern.tested)
    numerator = tested * pattern.divisor - forecast * number
    return pattern.position, numerator, pattern.divisor * number * size


def noise(reference: Sequence[Block], metric: int, size: int) -> Fraction | None:
    """Return the variance of a block's mean from second differences of neighbours."""
    squares, number = 0, 0
    for first, middle, last in zip(reference, reference[1:], reference[2:], strict=False):
        if last.index == first.index + 2:
            bend = last.total[metric] - 2 * middle.total[metric] + first.total[metric]
            squares += bend * bend
            number += 1
    return Fraction(squares, 6 * number * size * size) if number else None


def past(misses: Iterable[Miss]) -> Fraction:
    """Return the mean of the squares of at least one miss."""
    squares: Counter[int] = Counter()
    number = 0
    for _, numerator, denominator in misses:
        squares[denominator] += numerator * numerator
        number += 1
    total = sum((Fraction(square, d * d) for d, square in squares.items()), start=Fraction(0))
    return total / number


def scored(view: str, trial: Trial, direction: str) -> Score:
    """Return the score of a trial of a metric against which *direction* counts."""
    error = trial.error
    if (direction == "rise" and error < 0) or (direction == "fall" and error > 0):
        error = Fraction(0)
        trial = Trial(error, trial.variance, trial.tested, trial.reference)
    return Score(view, trial, error * error / trial.variance)


def spread(blocks: Sequence[Block], metric: int, size: int) -> Fraction:
    """Return the pooled variance within whole blocks, 0 if each has one observation."""
    if size == 1:
        return Fraction(0)
    within = sum(size * block.square[metric] - block.total[metric] ** 2 for block in blocks)
    return Fraction(within, size * (size - 1) * len(blocks))
