from __future__ import annotations

import pytest
import torch

from itnet_operators.data.random_functions import RandomFunctions, cell_lengths


def drawn(count: int, length_scale: float = 0.2, seed: int = 0) -> RandomFunctions:
    return RandomFunctions.draw(count, length_scale, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("length_scale", [0.05, 0.2, 1.0])
def test_the_covariance_is_the_documented_one(length_scale: float) -> None:
    """Exactly, from the variances of the coefficients; and in samples, within their standard error."""
    x = torch.linspace(0, 1, 5, dtype=torch.float64)
    functions = drawn(20_000, length_scale)
    distance = x.unsqueeze(1) - x
    expected = torch.exp(-(distance**2) / (2 * length_scale**2))
    u = functions(x.expand(20_000, -1))
    torch.testing.assert_close(u.T @ u / 20_000, expected, rtol=0, atol=0.05)
    variances = functions.cosines.square().mean(0)
    waves = torch.cos(functions.frequencies * distance.unsqueeze(-1))
    torch.testing.assert_close(waves @ variances, expected, rtol=0, atol=0.05)


def test_the_integral_is_that_of_the_function() -> None:
    functions = drawn(10)
    x = torch.linspace(0, 1, 2001, dtype=torch.float64).expand(10, -1)
    sums = torch.cumulative_trapezoid(functions(x), x)
    torch.testing.assert_close(functions.integral(x)[:, 1:], sums, rtol=0, atol=1e-5)
    assert (functions.integral(x)[:, 0].abs() < 1e-12).all()


def test_points_are_where_they_are_whatever_the_others() -> None:
    functions, x = drawn(3), torch.rand(3, 40, dtype=torch.float64)
    torch.testing.assert_close(functions(x)[:, 7:9], functions(x[:, 7:9]))


def test_cells_cover_the_interval_and_integrate_linear_functions_of_regular_points() -> None:
    points = torch.rand(4, 30, dtype=torch.float64).sort(1).values
    lengths = cell_lengths(points)
    torch.testing.assert_close(lengths.sum(1), torch.ones(4, dtype=torch.float64))
    assert (lengths >= 0).all()
    error = (lengths * torch.sin(3 * points)).sum(1) - (1 - torch.cos(torch.tensor(3.0))) / 3
    assert error.abs().max() < 0.02
