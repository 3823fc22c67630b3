"""How sure a count is: exact binomial bounds, and a bootstrap for ratios of sums."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_HALVINGS = 60  # of [0, 1]: beyond the last bit of a binary64 near 1
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Share:
    """*count* of *total*, with exact two-sided 95 % bounds."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share itself; NaN of nothing."""
        return self.count / self.total if self.total else math.nan

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds of Clopper and Pearson (1934), right for every share and every total."""
        return clopper_pearson(self.count, self.total)

    def __str__(self) -> str:
        """Show it as the table does."""
        if not self.total:
            return "0/0"
        low, high = self.bounds
        return f"{self.count}/{self.total} = {self.value:.1%} [{low:.1%}, {high:.1%}]"


def clopper_pearson(count: int, total: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided bounds of a share of which *count* of *total* were seen.

    Below the lower bound, so many or more would be seen with less than half of what
    the confidence leaves; above the upper one, so few or fewer.

    >>> [round(bound, 4) for bound in clopper_pearson(0, 20)]
    [0.0, 0.1684]
    """
    half = (1 - confidence) / 2
    if total == 0:
        return 0.0, 1.0
    low = 0.0 if count == 0 else _solve(lambda p: 1 - _at_most(count - 1, total, p) < half)
    high = 1.0 if count == total else _solve(lambda p: _at_most(count, total, p) > half)
    return low, high


def bootstrap(
    parts: Sequence[tuple[float, float]], *, seed: int = 0, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the ratio of the sums of *parts* (numerator, denominator), and percentile bounds."""
    draw = random.Random(seed)  # noqa: S311 - resampling, not secrets
    ratios = []
    for _ in range(_RESAMPLES):
        chosen = draw.choices(parts, k=len(parts))
        ratios.append(sum(a for a, _ in chosen) / sum(b for _, b in chosen))
    ratios.sort()
    half = (1 - confidence) / 2
    low, high = (ratios[int(_RESAMPLES * q)] for q in (half, 1 - half))
    return sum(a for a, _ in parts) / sum(b for _, b in parts), low, high


def _solve(below: Callable[[float], bool]) -> float:
    """Return where *below*, true for small shares, becomes false."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)
    return (low + high) / 2


def _at_most(count: int, total: int, share: float) -> float:
    """Return the binomial probability of *count* or fewer."""
    if not 0 < share < 1:
        return 1.0 if share <= 0 else float(count >= total)
    logs = (math.log(share), math.log1p(-share))
    return math.fsum(
        math.exp(_log_choose(total, k) + k * logs[0] + (total - k) * logs[1])
        for k in range(count + 1)
    )


def _log_choose(total: int, count: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)
