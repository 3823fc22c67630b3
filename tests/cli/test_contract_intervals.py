"""The exact interval of a share, against published values and against its definition."""

from fractions import Fraction
from math import comb

import pytest

from cli.capsules.intervals import checks_needed, clopper_pearson


def tail(hits: int, total: int, share: Fraction) -> Fraction:
    """The exact probability of *hits* or fewer."""
    return sum(
        (comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(hits + 1)),
        start=Fraction(0),
    )


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        # R: binom.test(hits, total)$conf.int
        (0, 10, 0.0, 0.3084971),
        (10, 10, 0.6915029, 1.0),
        (5, 10, 0.1870860, 0.8129140),
        (1, 20, 0.001265089, 0.2487328),
    ],
)
def test_the_interval_is_the_exact_one(hits: int, total: int, low: float, high: float) -> None:
    assert clopper_pearson(hits, total) == pytest.approx((low, high), rel=1e-5)


@pytest.mark.parametrize(("hits", "total"), [(1, 7), (3, 40), (17, 90), (2, 1000)])
def test_at_each_bound_what_is_beyond_has_a_fortieth_of_the_probability(
    hits: int, total: int
) -> None:
    """Held against the definition, in fractions: no formula of ours is used twice."""
    low, high = (Fraction(bound) for bound in clopper_pearson(hits, total))
    assert float(1 - tail(hits - 1, total, low)) == pytest.approx(0.025, rel=1e-9)
    assert float(tail(hits, total, high)) == pytest.approx(0.025, rel=1e-9)


def test_no_check_tells_nothing() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("share", "checks"), [(0.05, 72), (0.01, 368)])
def test_so_many_quiet_checks_are_needed_and_no_fewer(share: float, checks: int) -> None:
    assert checks_needed(share) == checks
    assert clopper_pearson(0, checks)[1] <= share < clopper_pearson(0, checks - 1)[1]
