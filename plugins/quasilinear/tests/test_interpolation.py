from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from itnet_quasilinear.interpolation import (
    Activation,
    Ranges,
    coefficients,
    nodes,
    polynomials,
    sup_errors,
    value_and_slope,
)

LIKE = torch.empty(0, dtype=torch.float64)


def test_polynomials_are_cosines() -> None:
    x = torch.linspace(-1, 1, 41, dtype=torch.float64)
    actual = polynomials(x.unsqueeze(0), 12)[0]
    expected = torch.stack([torch.cos(k * x.acos()) for k in range(12)])
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("number", [4, 9, 64])
def test_coefficients_undo_evaluation_at_the_nodes(number: int) -> None:
    at_nodes = polynomials(nodes(number, LIKE).unsqueeze(0), number)[0]
    torch.testing.assert_close(coefficients(number, LIKE) @ at_nodes.T, torch.eye(number, dtype=torch.float64))


def test_value_and_slope() -> None:
    x = torch.linspace(-4, 4, 9, dtype=torch.float64)
    value, slope = value_and_slope(torch.tanh, x)
    torch.testing.assert_close(value, x.tanh())
    torch.testing.assert_close(slope, 1 - x.tanh() ** 2)


def test_ranges_of_the_points_that_are_there() -> None:
    numbers = torch.tensor([[[1.0], [5.0], [9.0]], [[0.0], [0.0], [0.0]]])
    present = torch.tensor([[True, True, False], [False, False, False]])
    middle, half = Ranges.of(numbers, present)
    assert middle.flatten().tolist() == [3.0, 0.0]
    assert half.flatten().tolist() == [2.0, 0.0]


@pytest.mark.parametrize("activation", [F.silu, F.gelu, torch.tanh])
def test_the_estimate_bounds_the_error(activation: Activation) -> None:
    """For random places in the ranges, of σ and of σ′, and not by orders of magnitude too much."""
    torch.manual_seed(0)
    a, b = 3 * torch.rand(1, 3000, 1, dtype=torch.float64) - 1, 4 * torch.rand(1, 3000, 1, dtype=torch.float64) - 3
    for number in (4, 8, 16):
        ranges = Ranges.of(a)
        estimates = sup_errors(activation, ranges, Ranges.of(b), number)
        x = (a - ranges.middle) / ranges.half
        interpolate = polynomials(x.flatten().unsqueeze(0), number)[0].T @ coefficients(number, LIKE)
        known = value_and_slope(activation, ranges.scale(nodes(number, LIKE))[0] + b[0].T)
        exact = value_and_slope(activation, (a + b).flatten())
        for estimate, at_nodes, right in zip(estimates, known, exact, strict=True):
            actual = (interpolate * at_nodes.T).sum(1)
            error = float((actual - right).abs().max() / right.abs().max())
            assert error / 2 < estimate < 30 * error, (number, error, estimate)


def test_the_error_falls_geometrically() -> None:
    """By a factor that the pole of the SiLU nearest to the real line, at iπ, gives (Trefethen, theorem 8.2)."""

    def error(number: int) -> float:
        half = torch.full((1, 1), 4.0)
        return sup_errors(F.silu, Ranges(torch.zeros_like(half), half), Ranges(*2 * [torch.zeros_like(half)]), number)[
            0
        ]

    rho = math.pi / 4 + math.sqrt(1 + (math.pi / 4) ** 2)
    actual = (error(12) / error(24)) ** (1 / 12)
    assert 0.9 * rho < actual < 1.1 * rho
