"""Forecast, miss, and what the miss is worth (gate.md, 3.3 and 3.4).

A view looks back in one way. Its miss at position k is the mean of the tested
blocks less a straight line through the reference, read amid them; its score is
that miss squared over a variance, the largest of what the reference's own noise
explains, what the same forecaster missed earlier in the run, and one quantum.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import mul
from typing import NamedTuple

from producers.gates.blocks import Column, Line, weights
from producers.gates.forecast import Direction, View

_ONE = Fraction(1)  # a variance below one quantum squared is rounding, not noise


class Miss(NamedTuple):
    """A miss: the fraction ``numerator`` / ``unit``, in quanta times samples of a block."""

    numerator: int
    unit: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the history a view looks at one position: what it tests, and against what."""

    view: View
    line: Line
    tested: slice
    reference: slice

    def miss(self, column: Column) -> Miss | None:
        """Return a metric's miss here; ``None`` if a block that it needs is not whole."""
        past, now = column.s1[self.reference], column.s1[self.tested]
        if None in past or None in now:
            return None
        # Nothing is None from here on; the two sums are the hot lines of the gate.
        forecast = sum(map(mul, self.line.numerators, past))
        numerator = self.line.unit * sum(now) - self.view.blocks * forecast  # type: ignore[arg-type]
        return Miss(numerator, self.line.unit * self.view.blocks)

    def noise(self, column: Column) -> int | None:
        """Return the sum of the squared second differences of a metric's whole reference."""
        y: Sequence[int] = column.s1[self.reference]  # type: ignore[assignment]  # all whole
        ends = self.line.neighbours
        return sum((y[i + 2] - 2 * y[i + 1] + y[i]) ** 2 for i in ends) if ends else None


def look(view: View, order: Sequence[int], *, position: int, reference: int) -> Place | None:
    """Return where *view* looks, if the accepted blocks *order* allow it.

    *position* is right after the last of them.
    """
    first = len(order) - view.blocks
    if first < 0 or order[first] != position - view.blocks:
        return None
    end = bisect_left(order, position - view.blocks - view.gap)
    if end < reference:
        return None
    offsets = tuple([position - x for x in order[end - reference : end]])
    return Place(
        view,
        weights(offsets, view.blocks),
        tested=slice(first, len(order)),
        reference=slice(end - reference, end),
    )


class Misses:
    """The misses of one metric in one view, oldest first, as squares."""

    def __init__(self, keep: int) -> None:
        """Remember at least the last *keep*."""
        self._keep = keep
        self._at: list[int] = []
        self._squares: list[int] = []
        self._units: list[int] = []

    def add(self, position: int, miss: Miss) -> None:
        """Remember the miss at a position."""
        self._at.append(position)
        self._squares.append(miss.numerator * miss.numerator)
        self._units.append(miss.unit)

    def mean_square(self, *, until: int, most: int, least: int) -> Fraction | None:
        """Return the mean square of the last *most* up to a position, if there are *least*."""
        end = bisect_right(self._at, until)
        begin = max(0, end - most)
        if end - begin < least:
            return None
        squares, units = self._squares[begin:end], self._units[begin:end]
        if units.count(units[0]) == len(units):
            return Fraction(sum(squares), units[0] * units[0] * len(units))
        # Around a hole in the history the weights differ, and with them the units: a few kinds.
        kinds = dict.fromkeys(units, 0)
        for square, unit in zip(squares, units, strict=True):
            kinds[unit] += square
        parts = (Fraction(total, unit * unit) for unit, total in kinds.items())
        return sum(parts, Fraction()) / len(units)

    def take_back(self, after: int) -> None:
        """Forget the misses at positions above *after*."""
        self._drop(slice(bisect_right(self._at, after), None))

    def clear(self) -> None:
        """Forget all of them."""
        self._drop(slice(0, None))

    def trim(self) -> None:
        """Drop misses that nothing can ask for any more, some at a time."""
        excess = len(self._at) - self._keep
        if excess > self._keep:
            self._drop(slice(0, excess))

    def _drop(self, where: slice) -> None:
        del self._at[where], self._squares[where], self._units[where]


@dataclass(frozen=True, slots=True)
class Scored:
    """One view's score of one metric at a check; e and v are in quanta of the metric.

    ``reference`` and ``tested`` say where its blocks are, for the variances
    within them; ``past`` and ``noise`` are v_p and sigma^2, for the level view.
    """

    view: str
    e: Fraction
    v: Fraction
    z2: Fraction
    past: Fraction
    noise: Fraction
    reference: slice
    tested: slice


def score(
    place: Place, column: Column, past: Fraction | None, *, direction: Direction, samples: int
) -> Scored | None:
    """Return the score of a view at the check's own position, if it has one (3.4).

    *samples* is how many values a whole block has: *s* of gate.md. *past* is
    in units of 1/s, as ``Misses`` keeps them.
    """
    miss = place.miss(column)
    squares = None if miss is None else place.noise(column)
    if miss is None or squares is None or past is None:
        return None
    whole = samples * samples
    noise = Fraction(squares, 6 * len(place.line.neighbours) * whole)
    v_past = past / whole
    e = _counted(Fraction(miss.numerator, miss.unit * samples), direction)
    v = max(noise * place.line.spread, v_past, _ONE)
    return Scored(place.view.name, e, v, e * e / v, v_past, noise, place.reference, place.tested)


def score_level(first: Scored, *, name: str, e: Fraction, blocks: int, window: slice) -> Scored:
    """Return the level view's score: the window against the best one before it (3.4).

    Noise, past misses and reference are those of the plan's *first* view.
    """
    v = max(2 * first.noise / blocks, first.past, _ONE)
    return Scored(name, e, v, e * e / v, first.past, first.noise, first.reference, window)


def distances(scored: Scored, column: Column, *, samples: int, c: Fraction) -> tuple[float, float]:
    """Return ``per_metric_tv`` of a score, and what it would be at threshold *c* (3.6).

    x / (x + 2 (s_r^2 + s_w^2)) is Cauchy-Schwarz's lower bound on the total variation
    distance of two distributions whose means differ by the square root of x.
    """
    spread = 2 * (
        _within(column, scored.reference, samples) + _within(column, scored.tested, samples)
    )
    return _bound(scored.e * scored.e, spread), _bound(c * c * scored.v, spread)


def worst(scores: Mapping[str, Scored]) -> str | None:
    """Return the metric with the largest score; of equals the first, as they are in order."""
    return max(scores, key=lambda name: scores[name].z2, default=None)


def _counted(e: Fraction, direction: Direction) -> Fraction:
    wrong_way = (direction == "rise" and e < 0) or (direction == "fall" and e > 0)
    return Fraction() if wrong_way else e


def _within(column: Column, where: slice, samples: int) -> Fraction:
    """Return the pooled variance within whole blocks; 0 if each holds one value."""
    if samples == 1:
        return Fraction()
    s1: Sequence[int] = column.s1[where]  # type: ignore[assignment]  # all whole
    squares = samples * sum(column.s2[where]) - sum(map(mul, s1, s1))
    return Fraction(squares, samples * (samples - 1) * len(s1))


def _bound(square: Fraction, spread: Fraction) -> float:
    return float(square / (square + spread)) if square else 0.0
