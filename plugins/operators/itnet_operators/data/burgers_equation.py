"""Burgers' equation on a circle, solved numerically."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

STEPS_PER_CELL = 2
"""Time steps in which a wave of speed 1 crosses a cell."""


def interpolate(values: Tensor, points: int) -> Tensor:
    """Return the trigonometric interpolant of equidistant values on a circle at more points, (S, n) to (S, points).

    Example:
        >>> interpolate(torch.tensor([[1.0, 0.0, -1.0, 0.0]]), 8)[0, 1:4]
        tensor([ 0.7071,  0.0000, -0.7071])

    Args:
        values: at n points, n even.
        points: a multiple of n.
    """
    size = values.shape[-1]
    spectrum = torch.fft.rfft(values)
    spectrum[:, -1] /= 1 if points == size else 2  # the highest frequency stands for itself and its negative
    return torch.fft.irfft(spectrum, n=points) * (points / size)


def solve_burgers(initial: Tensor, time: float, viscosity: float) -> Tensor:
    """Solve ∂u/∂t + u ∂u/∂x = ν ∂²u/∂x² on a circle of length 1; return u at a time, (S, n) to (S, n).

    A Fourier pseudo-spectral method with an integrating factor for the viscosity, fourth-order Runge-Kutta steps and
    the 2/3 rule against aliasing (Canuto et al., Spectral Methods, 2006), in float64.

    Example:
        >>> x = torch.arange(64) / 64
        >>> shock = solve_burgers(torch.sin(2 * torch.pi * x).unsqueeze(0), time=0.3, viscosity=0.01)
        >>> bool(shock.diff().min() < -torch.sin(2 * torch.pi * x).diff().abs().max())  # steeper than at first
        True

    Args:
        initial: u at time 0 at n equidistant points, with |u| up to about 1.
        time: time of the solution.
        viscosity: ν.
    """
    size = initial.shape[-1]
    steps = max(1, round(STEPS_PER_CELL * size * time))
    step = time / steps
    wave = 2 * pi * torch.arange(size // 2 + 1, dtype=torch.float64)
    half = torch.exp(-viscosity * wave**2 * step / 2)
    factor = -0.5j * wave * (torch.arange(size // 2 + 1) <= size / 3)

    def slope(spectrum: Tensor) -> Tensor:
        return factor * torch.fft.rfft(torch.fft.irfft(spectrum, n=size).square())

    u = torch.fft.rfft(initial.double())
    for _ in range(steps):
        first = slope(u)
        second = slope(half * (u + step / 2 * first))
        third = slope(half * u + step / 2 * second)
        fourth = slope(half**2 * u + step * half * third)
        u = half**2 * u + step / 6 * (half**2 * first + 2 * half * (second + third) + fourth)
    return torch.fft.irfft(u, n=size)
