"""The exact interval of a proportion (Clopper and Pearson, Biometrika 26, 1934).

It is computed in decimals of fixed precision and rounded outwards to hundredths of a
percent, so that it has the same digits on every machine; a library of statistics
promises no such thing.

>>> exact_interval(2, 44)
(55, 1548)
>>> exact_interval(0, 300)
(0, 123)
"""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext

WHOLE = 10_000  # hundredths of a percent
MOST_TRIALS = 10_000  # more would take too long, and need no interval

_TAIL = Decimal("0.025")
_CONTEXT = Context(prec=40, Emin=MIN_EMIN, Emax=MAX_EMAX)


def exact_interval(hits: int, trials: int) -> tuple[int, int] | None:
    """Return the 95 % interval of *hits* of *trials*, in hundredths of a percent, or ``None``.

    There is none for no trials, and none for more than ``MOST_TRIALS``.
    """
    if not 0 < trials <= MOST_TRIALS:
        return None
    with localcontext(_CONTEXT):
        upper = _upper(hits, trials)
        return WHOLE - _upper(trials - hits, trials), upper


def _upper(hits: int, trials: int) -> int:
    """Return the least share at which as few as *hits* would be a surprise."""
    if hits == trials:
        return WHOLE
    low, high = 0, WHOLE
    while high - low > 1:
        middle = (low + high) // 2
        if _at_most(hits, trials, Decimal(middle) / WHOLE) <= _TAIL:
            high = middle
        else:
            low = middle
    return high


def _at_most(hits: int, trials: int, share: Decimal) -> Decimal:
    """Return the probability of *hits* or fewer of *trials*, each with chance *share*."""
    odds = share / (1 - share)
    term = (1 - share) ** trials
    total = term
    for count in range(hits):
        term *= odds * (trials - count) / (count + 1)
        total += term
    return total
