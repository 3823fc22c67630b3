import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.interval import MOST_TRIALS, WHOLE, exact_interval


@pytest.mark.parametrize(
    ("hits", "trials", "interval"),
    [
        # From tables of exact limits, in percent, rounded outwards.
        (0, 10, (0, 3085)),
        (10, 10, (6915, WHOLE)),
        (5, 10, (1870, 8130)),
        (1, 1, (250, WHOLE)),
        (0, 332, (0, 111)),
        (2, 44, (55, 1548)),
    ],
)
def test_it_has_the_limits_of_the_tables(hits: int, trials: int, interval: tuple[int, int]) -> None:
    assert exact_interval(hits, trials) == interval


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_its_ends_are_the_last_shares_that_would_be_a_surprise(case: tuple[int, int]) -> None:
    """Computed a second time, with fractions."""
    hits, trials = case
    interval = exact_interval(hits, trials)
    assert interval is not None
    low, high = interval
    half = Fraction(25, 1000)
    if hits < trials:
        assert at_most(hits, trials, high) <= half < at_most(hits, trials, high - 1)
    if hits > 0:
        assert 1 - at_most(hits - 1, trials, low) <= half
        assert 1 - at_most(hits - 1, trials, low + 1) > half
    assert 0 <= low <= WHOLE * hits / trials <= high <= WHOLE


def at_most(hits: int, trials: int, share: int) -> Fraction:
    p = Fraction(share, WHOLE)
    return sum(
        (math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(hits + 1)),
        Fraction(0),
    )


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_hits_and_misses_mirror_each_other(case: tuple[int, int]) -> None:
    hits, trials = case
    one, other = exact_interval(hits, trials), exact_interval(trials - hits, trials)
    assert one is not None
    assert other == (WHOLE - one[1], WHOLE - one[0])


@pytest.mark.parametrize("trials", [0, MOST_TRIALS + 1, 10**9])
def test_there_is_none_for_nothing_and_none_for_too_much(trials: int) -> None:
    assert exact_interval(0, trials) is None
