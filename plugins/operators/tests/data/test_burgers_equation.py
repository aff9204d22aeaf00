from __future__ import annotations

from math import pi

import pytest
import torch
from torch import Tensor

from itnet_operators.data.burgers_equation import interpolate, solve_burgers


def cole_hopf(x: Tensor, time: float, viscosity: float) -> Tensor:
    """Return the solution for u(x, 0) = sin 2πx, by quadrature of the Cole-Hopf formula (Basdevant et al., 1986)."""
    z = torch.linspace(-6, 6, 4001, dtype=torch.float64)
    y = x.unsqueeze(1) - (4 * viscosity * time) ** 0.5 * z
    log_heat = -(1 - torch.cos(2 * pi * y)) / (4 * pi * viscosity) - z**2
    heat = torch.exp(log_heat - log_heat.amax(1, keepdim=True))
    return (torch.sin(2 * pi * y) * heat).sum(1) / heat.sum(1)


@pytest.mark.parametrize("time", [0.1, 0.5, 0.96])
def test_the_solution_is_that_of_the_cole_hopf_transform(time: float) -> None:
    x = torch.arange(256, dtype=torch.float64) / 256
    [solution] = solve_burgers(torch.sin(2 * pi * x).unsqueeze(0), time, viscosity=0.01)
    torch.testing.assert_close(solution, cole_hopf(x, time, 0.01), rtol=0, atol=1e-6)


def test_the_mean_is_conserved_and_shifts_commute() -> None:
    initial = 0.2 * interpolate(torch.randn(3, 16, dtype=torch.float64), 64)
    solution = solve_burgers(initial, 0.3, 0.01)
    torch.testing.assert_close(solution.mean(1), initial.mean(1))
    torch.testing.assert_close(solve_burgers(initial.roll(5, 1), 0.3, 0.01), solution.roll(5, 1))


@pytest.mark.parametrize("points", [16, 32, 256])
def test_the_interpolant_has_the_given_values_and_no_higher_frequencies(points: int) -> None:
    values = torch.randn(4, 16, dtype=torch.float64)
    fine = interpolate(values, points)
    torch.testing.assert_close(fine[:, :: points // 16], values)
    assert (torch.fft.rfft(fine)[:, 9:].abs() < 1e-9).all()
