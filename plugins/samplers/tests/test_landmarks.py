"""Landmarks: mass and linear integrals are kept, the error is of second order, padding is absence."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from itnet_core import ConfigError, DenseEvaluator, Field, FullSampler, IntegralOperator, MLPKernel, farthest_points
from itnet_registry import create
from itnet_samplers.landmarks import LandmarksSampler
from itnet_testing.fields import on_an_image, scattered, with_padding


@settings(deadline=None)
@given(points=st.integers(2, 40), count=st.integers(1, 50), padding=st.integers(1, 5))
def test_mass_and_what_is_linear_are_kept_exactly(points: int, count: int, padding: int) -> None:
    field = with_padding(scattered(2, points).to(torch.float64), padding)
    coarse = LandmarksSampler(8, count=count)(field, field)
    assert coarse.values.shape[1] == min(count, points + padding)
    torch.testing.assert_close(coarse.weights.sum(-1), field.weights.sum(-1))
    for of in ("values", "positions"):
        means = [(f.weights.unsqueeze(-1) * getattr(f, of)).sum(1) for f in (coarse, field)]
        torch.testing.assert_close(*means)


def test_pooling_a_grid_is_average_pooling() -> None:
    field = Field.on_grid(torch.randn(2, 6, 4, 8), axes="yx")
    coarse = LandmarksSampler(8, pool=[3, 2])(field, field)
    expected = Field.on_grid(field.values.view(2, 2, 3, 2, 2, 8).mean((2, 4)), axes="yx")
    for name in ("values", "positions", "weights"):
        torch.testing.assert_close(getattr(coarse, name), getattr(expected, name))
    assert coarse.grid == (2, 2)


def test_a_pool_that_does_not_divide_the_grid_keeps_the_mass_and_is_no_grid() -> None:
    field = on_an_image(0)
    coarse = LandmarksSampler(8, pool=[3, 4])(field, field)
    assert coarse.grid is None
    rows = field.weights.view(2, 4, 4).sum(-1)
    torch.testing.assert_close(coarse.weights, torch.stack([rows[:, :3].sum(-1), rows[:, 3]], dim=-1))


def test_the_error_falls_with_the_square_of_the_diameter() -> None:
    """Twice as many landmarks along each axis: about a quarter of the error, for a smooth field and kernel."""
    at = torch.linspace(-1, 1, 32, dtype=torch.float64)
    u = torch.stack([torch.sin((k + 1) * (at.view(-1, 1) + 0.3 * k * at)) for k in range(4)], dim=-1)
    field = Field.on_grid(u.unsqueeze(0), axes="yx", bounds=[(-0.3, 0.3)] * 2)
    torch.manual_seed(0)
    operator = IntegralOperator(4, MLPKernel(4, heads=2, activation="tanh", frequency_scale=0.3)).double()
    query = Field(field.values[:, ::25], field.positions[:, ::25])
    exact = operator(query, field).values
    off = []
    for by in (2, 4):
        operator.sampler = LandmarksSampler(4, pool=[by, by])
        off.append((operator(query, field).values - exact).square().mean().sqrt())
    assert 2.5 < off[1] / off[0] < 6


def test_farthest_points_cover_and_are_never_padding() -> None:
    field = with_padding(scattered(2, 30), points=20)
    chosen = farthest_points(field.positions, field.mask, 8)
    assert (chosen < 30).all()
    assert all(len(row.unique()) == 8 for row in chosen)
    centres = field.positions.gather(1, chosen.unsqueeze(-1).expand(-1, -1, 4))
    apart = torch.cdist(centres, centres) + torch.eye(8) * 1e3
    radius = torch.cdist(field.positions[:, :30], centres).amin(-1).amax(-1)
    assert (apart.amin((1, 2)) >= radius).all()  # Gonzalez' invariant


def test_padding_is_absence() -> None:
    field = scattered(2, 30).to(torch.float64)
    actual, expected = (LandmarksSampler(8, count=6)(f, f) for f in (with_padding(field), field))
    torch.testing.assert_close(actual.values, expected.values)
    torch.testing.assert_close(actual.weights, expected.weights)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="a pool or a count"):
        LandmarksSampler(8, pool=[2], count=3)
    with pytest.raises(ConfigError, match="a grid of 1 dimensions"):
        LandmarksSampler(8, pool=[2])(scattered(), scattered())


def test_the_taps_of_a_convolution_are_as_far_apart_over_landmarks() -> None:
    """A kernel without `spacing` takes it from the field, not from what a sampler makes of it."""
    field = Field.on_grid(torch.randn(2, 8, 8, 4).double())
    results = []
    for spacing in (None, 0.25):
        torch.manual_seed(0)
        kernel = create("kernel", "convolution", dim=4, spacing=spacing)
        results.append(IntegralOperator(4, kernel, LandmarksSampler(4, pool=(2, 2))).double()(field).values)
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


def test_steps_are_counted_from_the_first_point_and_not_from_the_first_landmark() -> None:
    seen: dict[str, Tensor] = {}
    kernel = create("kernel", "s4", dim=4, state=4, unit=0.25, axis=0).double()
    kernel.register_forward_pre_hook(lambda _, terms: seen.update(query=terms[0]))
    field = Field.on_grid(torch.randn(1, 8, 4).double())
    for sampler in (FullSampler(4), LandmarksSampler(4, pool=(4,))):
        IntegralOperator(4, kernel, sampler, DenseEvaluator()).double()(field)
        assert seen["query"].tolist() == [[0, 1, 2, 3, 4, 5, 6, 7]]


def test_a_landmark_passes_the_time_of_the_points_that_it_stands_for() -> None:
    """Equal points, of which four become one: Mamba-2's decay from the first to the last stays."""
    torch.manual_seed(0)
    field = Field.on_grid(torch.ones(1, 16, 4).double(), axes="t", measure="counting")
    coarse = LandmarksSampler(4, pool=(4,))(field, field)
    for name in ("mamba", "mamba2"):
        kernel = create("kernel", name, dim=4).double()
        fine_sums, coarse_sums = (kernel.project(field, key)[1][-1] for key in (field, coarse))
        torch.testing.assert_close(coarse_sums[:, -1], fine_sums[:, -1])


def test_means_are_finite_for_any_weights() -> None:
    field = scattered(2, 12)
    for scale in (1e-30, 1e30):
        large = Field(field.values, 1e9 * field.positions, scale * field.weights)
        coarse = LandmarksSampler(8, count=3)(large, large)
        expected = LandmarksSampler(8, count=3)(field, field)
        torch.testing.assert_close(coarse.positions / 1e9, expected.positions)
        torch.testing.assert_close(coarse.weights / scale, expected.weights)


@pytest.mark.parametrize("weight", [1e-30, 1e30])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_beyond_the_range_of_half_precision(dtype: torch.dtype, weight: float) -> None:
    torch.manual_seed(0)
    values, positions = torch.randn(2, 10, 3).to(dtype), torch.rand(2, 10, 4)
    sampler = LandmarksSampler(3, count=4)
    one, other = (
        sampler(f, f).values for f in (Field(values, positions, torch.full((2, 10), w)) for w in (1.0, weight))
    )
    torch.testing.assert_close(other, one)
