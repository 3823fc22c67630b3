"""What the instruments say of shapes that are known, and that they say the same again."""

import math
from typing import Any

import pytest
import torch

from producers.gates.measure import SHAPE, Meter, Updates, spectrum


def noise(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_round_cloud_fills_all_dimensions() -> None:
    told = Meter()(noise(16, 64, 16) * 3)
    assert told["act_rms"] == pytest.approx(3, rel=0.05)
    assert told["eff_dim"] == pytest.approx(16, rel=0.05)
    assert told["rankme"] == pytest.approx(16, rel=0.05)
    assert told["var_out_k"] == pytest.approx(12 / 16, rel=0.1)  # the four largest are left out
    assert told["cos_disp"] == pytest.approx(math.sqrt(2 / math.pi / 16), rel=0.15)


def test_a_line_has_rank_one_and_every_pair_is_parallel() -> None:
    told = Meter()(noise(512, 1) * noise(1, 8, seed=1))
    assert told["eff_dim"] == pytest.approx(1, abs=1e-4)
    assert told["rankme"] == pytest.approx(1, abs=1e-3)
    assert told["var_out_k"] == pytest.approx(0, abs=1e-5)
    assert told["cos_disp"] == pytest.approx(1, abs=1e-4)


def test_dimensions_of_different_spread_count_alike() -> None:
    """The frame takes the scale of each dimension away, so that none rules the others."""
    scale = torch.tensor([100.0] + [1.0] * 15)
    assert Meter()(noise(512, 16) * scale)["eff_dim"] == pytest.approx(16, rel=0.1)


def test_the_frame_is_that_of_the_snapshots_before() -> None:
    """A dimension that suddenly spreads is seen as such, and after a while it is the new normal."""
    meter, scale = Meter(), torch.tensor([100.0] + [1.0] * 15)
    assert meter(noise(512, 16))["eff_dim"] > 15
    changed = meter(noise(512, 16, seed=1) * scale)["eff_dim"]
    assert changed < 1.1
    for seed in range(60):
        last = meter(noise(512, 16, seed=seed) * scale)["eff_dim"]
    assert last > 15


def test_two_meters_measure_alike_whatever_the_shape_of_the_batch() -> None:
    hidden = noise(8, 32, 12)
    one, other = Meter(), Meter()
    for _ in range(3):
        assert one(hidden) == other(hidden.reshape(256, 12))
        hidden = hidden * 1.1 + 0.1


def test_no_more_tokens_are_looked_at_than_allowed_evenly_spaced() -> None:
    hidden = noise(2048, 12)
    assert Meter(tokens=512)(hidden) == Meter(tokens=512)(hidden[::4])
    assert Meter(tokens=512)(hidden) != Meter(tokens=512)(hidden[:512])


def test_a_wide_model_is_projected_first() -> None:
    told = Meter(dim=64)(noise(512, 300))
    assert 40 < told["eff_dim"] <= 64
    assert told["rankme"] <= 64
    assert told == Meter(dim=64)(noise(512, 300))


def test_a_meter_goes_on_from_a_state_as_if_nothing_had_been_in_between() -> None:
    meter, later = Meter(), Meter()
    meter(noise(64, 8))
    state = meter.state()
    expected = meter(noise(64, 8, seed=1) * 5 + 1)
    later.restore(state)
    assert later(noise(64, 8, seed=1) * 5 + 1) == expected
    later.restore(state)  # using it did not change it
    assert later(noise(64, 8, seed=1) * 5 + 1) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_number_that_is_not_finite_makes_every_value_nan_and_leaves_the_frame(
    bad: float,
) -> None:
    meter, other = Meter(), Meter()
    broken = noise(64, 8)
    broken[3, 5] = bad
    for each in (meter, other):
        each(noise(64, 8, seed=1))
    told = meter(broken)
    assert set(told) == set(SHAPE)
    assert all(math.isnan(value) for value in told.values())
    assert meter(noise(64, 8, seed=2)) == other(noise(64, 8, seed=2))


def test_states_that_leave_their_frame_by_far_are_not_finite_and_no_error() -> None:
    """A covariance that overflows would make the eigenvalues raise, and end the training."""
    meter = Meter()
    meter(torch.zeros(512, 8))
    told = meter(noise(512, 8) * 1e17)
    assert math.isfinite(told["act_rms"])
    assert math.isnan(told["eff_dim"])


def test_a_dead_layer_is_measured_and_not_an_error() -> None:
    told = Meter()(torch.zeros(4, 8, 16))
    assert told == {
        "act_rms": 0.0,
        "cos_disp": 0.0,
        "eff_dim": 1.0,
        "rankme": 1.0,
        "var_out_k": 0.0,
    }


@pytest.mark.parametrize("shape", [(1, 1, 4), (1, 2, 4), (2, 3, 1), (3, 5, 2)])
def test_a_batch_however_small_gives_finite_values(shape: tuple[int, ...]) -> None:
    assert all(math.isfinite(value) for value in Meter()(noise(*shape)).values())


def test_half_precision_is_measured_in_single() -> None:
    hidden = noise(512, 16).bfloat16()
    assert Meter()(hidden) == Meter()(hidden.float())


def test_measuring_asks_for_no_gradient_and_changes_nothing() -> None:
    hidden = noise(64, 8).requires_grad_()
    before = hidden.detach().clone()
    Meter()(hidden)
    assert hidden.grad is None
    assert torch.equal(hidden.detach(), before)


def test_the_spectrum_of_four_equal_directions() -> None:
    told = spectrum(torch.cat([torch.eye(4), -torch.eye(4)]))
    assert told["eff_dim"] == pytest.approx(4)
    assert told["var_out_k"] == pytest.approx(0.5)


def test_the_spectrum_of_what_is_not_finite_is_nan() -> None:
    told = spectrum(torch.full((4, 4), math.nan))
    assert all(math.isnan(value) for value in told.values())


def test_a_parameter_that_stands_still_gives_exactly_zero_and_any_movement_more() -> None:
    weight = torch.nn.Parameter(torch.zeros(8, 8))
    updates = Updates(weight)
    assert updates() == 0.0
    with torch.no_grad():
        weight += 0.5
    assert updates() == pytest.approx(0.5)
    assert updates() == 0.0
    with torch.no_grad():
        weight[0, 0] += 1e-6
    assert 0 < updates() < 1e-6


def test_a_movement_whose_square_is_too_small_for_single_precision_is_a_movement() -> None:
    """Else a very small learning rate would be taken for a stalled optimizer."""
    weight = torch.nn.Parameter(torch.zeros(4))
    updates = Updates(weight)
    with torch.no_grad():
        weight += 1e-30
    assert updates() / 1e-30 == pytest.approx(1)


def test_of_a_large_parameter_evenly_spaced_numbers_are_watched() -> None:
    weight = torch.nn.Parameter(torch.zeros(300, 300))
    updates = Updates(weight)
    with torch.no_grad():
        weight[-30:] += 1.0  # the last tenth
    assert updates() == pytest.approx(math.sqrt(0.1), rel=0.02)


def test_updates_go_on_from_a_state() -> None:
    weight = torch.nn.Parameter(torch.zeros(4))
    updates = Updates(weight)
    state = updates.state()
    with torch.no_grad():
        weight += 2.0
    assert updates() == 2.0
    updates.restore(state)
    assert updates() == 2.0
