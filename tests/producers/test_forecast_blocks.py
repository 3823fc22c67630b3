"""The integers that a forecast is made of: quanta, and the weights of lines."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.gates.blocks import SCALE, quantise, weights

QUANTUM = 2.0**-20


@given(
    st.lists(st.integers(6, 10**6), min_size=4, max_size=20, unique=True),
    st.integers(1, 5),
    st.integers(-(10**9), 10**9),
    st.integers(-(10**9), 10**9),
)
def test_any_straight_path_is_forecast_exactly_through_any_holes(
    offsets: list[int], blocks: int, level: int, slope: int
) -> None:
    line = weights(tuple(sorted(offsets, reverse=True)), blocks)
    past = [level - slope * offset for offset in sorted(offsets, reverse=True)]
    middle = level - Fraction(slope * (blocks + 1), 2)
    assert Fraction(sum(w * y for w, y in zip(line.numerators, past, strict=True)), line.unit) == (
        middle
    )
    assert sum(line.numerators) == line.unit


def test_the_weights_of_the_canonical_views_have_the_published_variances() -> None:
    """docs/explanation/gate-statistics.md: .607, .889 and 1.275 noise variances of one block."""
    spreads = []
    for blocks, gap in ((4, 0), (4, 4), (1, 0)):
        last = blocks + gap + 1
        spreads.append(float(weights(tuple(range(last + 15, last - 1, -1)), blocks).spread))
    assert spreads == pytest.approx([0.607, 0.889, 1.275], abs=5e-4)


@pytest.mark.parametrize(
    ("value", "quanta"),
    [
        (0.5 * QUANTUM, 0),
        (1.5 * QUANTUM, 2),
        (-1.5 * QUANTUM, -2),
        (2.5 * QUANTUM, 2),
        (math.nextafter(0.5 * QUANTUM, 1), 1),
        (-0.0, 0),
        (5e-324, 0),
        (math.nextafter(2.0**63, 0), (2**63 - 1024) * SCALE),
    ],
)
def test_a_value_is_rounded_to_the_nearest_quantum_ties_to_even(value: float, quanta: int) -> None:
    assert quantise(value) == quanta
