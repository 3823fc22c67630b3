"""What a forecasting gate remembers: sums over blocks, and weights of straight lines.

Everything is an integer (gate.md, sections 1 and 3.1 to 3.3). A whole block's *y* is
S1/s; all misses of one kind have the same denominator, so only numerators are kept.

>>> quantise(1.5) == 3 * SCALE // 2, quantise(float("nan")), quantise(2.0**63)
(True, None, None)
>>> line = weights((5, 4, 3, 2), 1)  # four neighbours, read at the block after them
>>> [w / line.unit for w in line.numerators], line.spread
([-0.5, 0.0, 0.5, 1.0], Fraction(5, 2))
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import gcd, inf, isfinite
from typing import NamedTuple

SCALE = 2**20
_TOO_LARGE = 2.0**63


def as_float(value: float) -> float:
    """Return *value* as binary64; an integer beyond its range is infinite."""
    try:
        return float(value)
    except OverflowError:
        return inf


def quantise(value: float) -> int | None:
    """Return *value* in units of 2^-20, ties to even; ``None`` if it is not finite (section 1).

    Multiplying a binary64 by a power of two is exact, so that only one rounding happens.
    """
    return round(value * SCALE) if isfinite(value) and abs(value) < _TOO_LARGE else None


@dataclass(frozen=True, slots=True)
class Line:
    """The weights a_i of a least-squares line read at one place: ``numerators`` / ``unit``.

    ``spread`` is 1/b + sum of a_i^2: the variance of a miss, in variances of one block.
    ``neighbours`` are the places i whose next two are at x_i + 1 and x_i + 2.
    """

    numerators: tuple[int, ...]
    unit: int
    spread: Fraction
    neighbours: tuple[int, ...]


@lru_cache(maxsize=512)
def weights(offsets: tuple[int, ...], blocks: int) -> Line:
    """Return the line through blocks at *offsets* before position k, read amid the tested ones.

    *offsets* (k - x_i, descending) decide alone: the weights do not depend on k. With
    d_i = L x_i - sum(x), D = sum(d_i^2) and h = 2 L (c - mean(x)), a_i = (2 D + L d_i h) / (2 D L).
    """
    length = len(offsets)
    places = [-offset for offset in offsets]
    total = sum(places)
    centred = [length * x - total for x in places]
    square = sum(d * d for d in centred)
    reach = length * (-blocks - 1) - 2 * total  # c = (2k - b - 1) / 2, at k = 0
    numerators = [2 * square + length * d * reach for d in centred]
    unit = 2 * square * length
    common = gcd(unit, *numerators)
    numerators = [n // common for n in numerators]
    unit //= common
    spread = Fraction(1, blocks) + Fraction(sum(n * n for n in numerators), unit * unit)
    neighbours = tuple(i for i in range(length - 2) if places[i + 2] - places[i] == 2)  # noqa: PLR2004 - the definition
    return Line(tuple(numerators), unit, spread, neighbours)


class Sums(NamedTuple):
    """One metric in one block: how many finite values, S1 if the block is whole, and S2."""

    n: int
    s1: int | None
    s2: int


def summed(values: Sequence[int], whole: int) -> Sums:
    """Return the sums of a block that is whole if it has *whole* values."""
    n = len(values)
    return Sums(n, sum(values) if n == whole else None, sum(q * q for q in values))


class Column:
    """One metric's sums over the accepted blocks, oldest first; parallel to ``History.order``."""

    def __init__(self) -> None:
        """Start with no block."""
        self.n: list[int] = []
        self.s1: list[int | None] = []
        self.s2: list[int] = []

    def append(self, sums: Sums) -> None:
        """Add the next block's sums."""
        self.n.append(sums.n)
        self.s1.append(sums.s1)
        self.s2.append(sums.s2)

    def drop(self, where: slice) -> None:
        """Forget blocks."""
        del self.n[where], self.s1[where], self.s2[where]


class History:
    """The accepted blocks: their indices, and each metric's sums over the recent ones.

    What is older than *keep* blocks is dropped and only counted, so that a long run
    needs no more memory than a short one.
    """

    def __init__(self, names: Sequence[str], keep: int) -> None:
        """Start empty."""
        self.columns = {name: Column() for name in names}
        self.order: list[int] = []  # the indices of the blocks that have sums
        self._older = 0  # how many there are before them
        self._keep = keep

    def __len__(self) -> int:
        """How many blocks are accepted."""
        return self._older + len(self.order)

    def append(self, index: int, sums: dict[str, Sums]) -> None:
        """Accept the next block."""
        self.order.append(index)
        for name, column in self.columns.items():
            column.append(sums[name])

    def take_back(self, blocks: int) -> None:
        """Forget the last so many blocks."""
        self._drop(slice(len(self.order) - blocks, None))

    def clear(self) -> None:
        """Forget all blocks."""
        self._older = 0
        self._drop(slice(0, None))

    def trim(self) -> None:
        """Drop sums that nothing can ask for any more, some at a time."""
        excess = len(self.order) - self._keep
        if excess > self._keep:
            self._older += excess
            self._drop(slice(0, excess))

    def _drop(self, where: slice) -> None:
        del self.order[where]
        for column in self.columns.values():
            column.drop(where)
