"""Smooth random functions on [0, 1], known at every point together with their integrals."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, pi

import torch
from torch import Tensor

REACH = 6.0
"""Lengths after which the covariance, and standard deviations after which its spectrum, counts as 0: exp(−18)."""


@dataclass(frozen=True)
class RandomFunctions:
    """Functions u(x) = Σ_k a_k cos ω_k x + b_k sin ω_k x, with ω_k = 2πk/P.

    Example:
        >>> functions = RandomFunctions.draw(3, length_scale=0.2, random=torch.Generator().manual_seed(0))
        >>> x = torch.linspace(0, 1, 1001, dtype=torch.float64).expand(3, -1)
        >>> u, integral = functions(x), functions.integral(x)
        >>> sums = torch.cumulative_trapezoid(u, x)
        >>> torch.allclose(integral[:, 1:], sums, atol=1e-4)
        True

    Attributes:
        frequencies: ω_k, shape (K,); ω_0 = 0.
        cosines: a_k, shape (S, K).
        sines: b_k, shape (S, K).
    """

    frequencies: Tensor
    cosines: Tensor
    sines: Tensor

    @classmethod
    def draw(cls, count: int, length_scale: float, random: torch.Generator) -> RandomFunctions:
        """Draw Gaussian random functions with mean 0 and covariance exp(−|x − x'|² / 2ℓ²) on [0, 1].

        The covariance is that of the period P = 1 + 6ℓ, Σ_m exp(−|x − x' + mP|² / 2ℓ²), which differs by less than
        2·exp(−18) on [0, 1]. By Poisson's formula a_k and b_k are independent normal numbers of the variance
        2√(2π)ℓ/P · exp(−ω_k² ℓ²/2), half of it for k = 0; frequencies of ω ℓ > 6 are left out.

        Args:
            count: number of functions.
            length_scale: ℓ.
            random: the source of the numbers.
        """
        period = 1 + REACH * length_scale
        frequencies = 2 * pi / period * torch.arange(ceil(REACH * period / (2 * pi * length_scale)) + 1).double()
        variance = 2 * (2 * pi) ** 0.5 * length_scale / period * torch.exp(-((frequencies * length_scale) ** 2) / 2)
        variance[0] /= 2
        drawn = torch.randn(count, 2, len(frequencies), generator=random, dtype=torch.float64) * variance.sqrt()
        return cls(frequencies, drawn[:, 0], drawn[:, 1])

    def __call__(self, points: Tensor) -> Tensor:
        """Return u at points of each function, (S, N) to (S, N)."""
        phase = points.unsqueeze(-1) * self.frequencies
        return (phase.cos() @ self.cosines.unsqueeze(-1) + phase.sin() @ self.sines.unsqueeze(-1)).squeeze(-1)

    def integral(self, points: Tensor) -> Tensor:
        """Return ∫_0^x u at points x of each function, (S, N) to (S, N)."""
        waves, a, b = self.frequencies[1:], self.cosines[:, 1:], self.sines[:, 1:]
        primitive = RandomFunctions(waves, -b / waves, a / waves)  # of all but the mean
        return self.cosines[:, :1] * points + primitive(points) - primitive(torch.zeros_like(points[:, :1]))


def cell_lengths(points: Tensor) -> Tensor:
    """Return the lengths of the Voronoi cells of sorted points in [0, 1], (S, N) to (S, N); they sum to 1.

    Example:
        >>> cell_lengths(torch.tensor([[0.1, 0.3, 0.8]]))
        tensor([[0.2000, 0.3500, 0.4500]])
    """
    middles = (points[:, 1:] + points[:, :-1]) / 2
    ends = torch.cat([torch.zeros_like(points[:, :1]), middles, torch.ones_like(points[:, :1])], dim=1)
    return ends.diff(dim=1)
