"""Exact confidence intervals of a share (Clopper and Pearson, 1934), by bisection.

The bounds are quantiles of beta distributions; equivalently, the share at which what
was seen, or more (or less), has a probability of half of what is left over. That sum
is exact enough in binary64 for some 10^6 checks, and needs no library. Twelve digits
are given: what follows depends on the machine's logarithm.

>>> [round(bound, 4) for bound in clopper_pearson(2, 44)]
[0.0056, 0.1547]
"""

import math

__all__ = ["checks_needed", "clopper_pearson"]

_STEPS = 64  # halvings of [0, 1]: beyond binary64's precision


def clopper_pearson(hits: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided exact interval for the share behind *hits* out of *total*.

    With no trial at all it is [0, 1].
    """
    if total == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _share(hits - 1, total, 1 - tail)
    high = 1.0 if hits == total else _share(hits, total, tail)
    return _rounded(low), _rounded(high)


def _rounded(value: float) -> float:
    return float(f"{value:.12g}")


def checks_needed(share: float, confidence: float = 0.95) -> int:
    """Return how many checks without an alarm put the interval's upper bound at *share* or below.

    With no hit the upper bound is 1 - ((1 - confidence)/2)^(1/n).
    """
    return math.ceil(math.log((1 - confidence) / 2) / math.log1p(-share))


def _share(hits: int, total: int, probability: float) -> float:
    """Return the share at which *hits* or fewer of *total* have *probability*."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _at_most(hits, total, middle) > probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _at_most(hits: int, total: int, share: float) -> float:
    """Return the binomial probability of *hits* or fewer out of *total*."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return float(hits >= total)
    scale = math.lgamma(total + 1)
    logs = (
        scale
        - math.lgamma(k + 1)
        - math.lgamma(total - k + 1)
        + k * math.log(share)
        + (total - k) * math.log1p(-share)
        for k in range(hits + 1)
    )
    return math.fsum(math.exp(value) for value in logs)
