"""Interpolation of σ(a + b) in a at Chebyshev nodes: its matrices and its error.

Trefethen, "Approximation Theory and Approximation Practice" (2013), chapters 4 and 8: where σ is analytic inside the
ellipse of sum of semi-axes ρ around the range of a, n nodes leave an error of O(ρ^−n).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Activation = Callable[[Tensor], Tensor]

STEPS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Numbers of nodes to try."""

LEAST_HALF_WIDTH = 1e-3
"""Smallest half-width of a range."""

SHIFTS = 33
"""Number of values of b for which the error is estimated."""


class Ranges(NamedTuple):
    """Ranges of numbers, [middle − half, middle + half], shape (B, hidden) each."""

    middle: Tensor
    half: Tensor

    @classmethod
    def of(cls, numbers: Tensor, present: Tensor | None = None, *, least: float = 0.0) -> Ranges:
        """Compute the ranges of numbers (B, N, hidden) over the points that are `present` (B, N); 0 without any.

        A half-width is at least `least`.
        """
        low = high = numbers.detach()
        if present is not None:
            low, high = (low.masked_fill(~present.unsqueeze(-1), sign * torch.inf) for sign in (1, -1))
        low, high = low.amin(1), high.amax(1)
        return cls(((low + high) / 2).nan_to_num(), ((high - low) / 2).clamp(min=least))

    def scale(self, places: Tensor) -> Tensor:
        """Map places in [−1, 1] to the ranges, (B, places, hidden)."""
        return self.middle.unsqueeze(1) + self.half.unsqueeze(1) * places.view(1, -1, 1)


def nodes(number: int, like: Tensor) -> Tensor:
    """Return the Chebyshev nodes cos(π(m + ½)/n) in [−1, 1], shape (n,), in the dtype and on the device of a tensor."""
    return _cos(torch.arange(number) + 0.5, number, like)


def coefficients(number: int, like: Tensor) -> Tensor:
    """Return the matrix from values at the nodes to coefficients of T_0 … T_{n−1}, (n, n)."""
    k, m = torch.meshgrid(torch.arange(float(number)), torch.arange(number) + 0.5, indexing="ij")
    matrix = 2.0 / number * _cos(k * m, number, torch.empty((), dtype=torch.float64))
    matrix[0] /= 2
    return matrix.to(like)


def value_and_slope(activation: Activation, x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute σ(x) and σ′(x)."""
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone().requires_grad_()  # tensors of inference mode cannot be differentiated
        value = activation(x)
        [slope] = torch.autograd.grad(value, x, torch.ones_like(value))
    return value.detach(), slope


def polynomials(x: Tensor, number: int) -> Tensor:
    """Compute T_0(x) … T_{n−1}(x) for x in [−1, 1] of shape (B, …), stacked along the second axis."""
    out = x.new_empty(x.shape[0], number, *x.shape[1:])
    out[:, 0], out[:, 1] = 1.0, x
    twice = 2 * x
    for k in range(2, number):
        torch.mul(twice, out[:, k - 1], out=out[:, k])
        out[:, k] -= out[:, k - 2]
    return out


def sup_errors(activation: Activation, a: Ranges, b: Ranges, number: int) -> tuple[float, float]:
    """Estimate the largest errors of the interpolants of σ and of σ′ over all samples and hidden units.

    They are relative to the largest |σ| and |σ′|. The errors are computed in float64 between the nodes, where |T_n| = 1
    and they are about largest, and at the ends, for values of b spread over its range. For each hidden unit the widest
    range of a in any sample is placed anywhere within the range of a + b in any sample.
    """
    half = a.half.double().amax(0, keepdim=True)
    low, high = (a.middle + b.middle - b.half).double(), (a.middle + b.middle + b.half).double()
    low, high = low.amin(0, keepdim=True), high.amax(0, keepdim=True)
    wide, around = Ranges(torch.zeros_like(half), half), Ranges((low + high) / 2, (high - low) / 2)
    t, between = nodes(number, half), _cos(torch.arange(number + 1), number, half)
    offsets = torch.linspace(-1, 1, SHIFTS, dtype=t.dtype, device=t.device)
    shift = around.scale(offsets).unsqueeze(1)  # (1, 1, …, hidden)
    interpolate = polynomials(between.unsqueeze(0), number)[0].T @ coefficients(number, t)  # from nodes to between
    known = value_and_slope(activation, wide.scale(t).unsqueeze(2) + shift)
    exact = value_and_slope(activation, wide.scale(between).unsqueeze(2) + shift)
    first, second = (
        float((torch.einsum("em,bmsc->besc", interpolate, at_nodes) - right).abs().amax() / right.abs().amax())
        for at_nodes, right in zip(known, exact, strict=True)
    )
    return first, second


def _cos(numerator: Tensor, number: int, like: Tensor) -> Tensor:
    return torch.cos(math.pi / number * numerator.double()).to(like)
