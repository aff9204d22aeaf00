"""Σ_c W_c ∘ Σ_j σ(a_ci + b_cj) u_j for all i, by interpolation in a.

With nodes t_cm over the range of a_c, and a mapped to x in [−1, 1], σ(a + b) ≈ Σ_k T_k(x) Σ_m C_km σ(t_m + b), where C
maps values at the nodes to coefficients. So

    Z_ck = Σ_m C_km Σ_j σ(t_cm + b_cj) u_j,      out_i = Σ_ck T_k(x_ci) W_c ∘ Z_ck:

two matrix products with hidden · nodes rows and columns, O((N + M) · hidden · nodes · d). With g the gradient of the
result and R_ck = Σ_i T_k(x_ci) g_i, the gradients are

    of W_c:   Σ_k R_ck ∘ Z_ck
    of a_ci:  Σ_k T_k(x_ci) ⟨g_i, W_c ∘ Z′_ck⟩,   Z′ is Z with σ′ for σ
    of u_j:   Σ_cm σ(t_cm + b_cj) R̃_cm,                        R̃_cm = Σ_k C_km W_c ∘ R_ck
    of b_cj:  Σ_m σ′(t_cm + b_cj) ⟨u_j, R̃_cm⟩

These are the gradients of the approximation, except that of a, for which σ′ itself is interpolated: differentiating a
series of n terms would amplify its rounding by up to n².

Points are processed in parts, to bound the memory of tensors with (hidden · nodes) numbers per point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from itnet_core import refuse_second_derivatives
from itnet_quasilinear.interpolation import Activation, Ranges, coefficients, nodes, polynomials, value_and_slope

CPU_NUMBERS = 1 << 20
GPU_NUMBERS = 1 << 26


@dataclass(frozen=True, eq=False)
class Interpolation:
    """The interpolation of σ(a + b) in a.

    Attributes:
        activation: σ.
        ranges: of a.
        number: the number of nodes.
    """

    activation: Activation
    ranges: Ranges
    number: int

    def at_nodes(self, b: Tensor) -> Tensor:
        """Compute t_cm + b_cj, (B, nodes, hidden, M), for b of shape (B, hidden, M)."""
        return self.ranges.scale(nodes(self.number, b)).unsqueeze(-1) + b.unsqueeze(1)

    def basis(self, a: Tensor) -> Tensor:
        """Compute T_k(x_ci), (B, nodes, hidden, N), for a of shape (B, hidden, N)."""
        middle, half = self.ranges.middle.unsqueeze(-1), self.ranges.half.unsqueeze(-1)
        return polynomials(((a - middle) / half).clamp_(-1, 1), self.number)

    def parts(self, points: Tensor) -> Iterator[slice]:
        """Yield slices of the points of a tensor (B, hidden, points) that bound the memory."""
        allowed = CPU_NUMBERS if points.device.type == "cpu" else GPU_NUMBERS
        size = max(16, allowed // (points.shape[0] * points.shape[1] * self.number))
        for start in range(0, points.shape[2], size):
            yield slice(start, min(start + size, points.shape[2]))


def smooth_sums(interpolation: Interpolation, a: Tensor, b: Tensor, second: Tensor, u: Tensor) -> Tensor:
    """Compute Σ_c W_c ∘ Σ_j σ(a_ci + b_cj) u_j by interpolation, shape (B, N, d).

    Args:
        interpolation: σ, the ranges of a, and the number of nodes.
        a: shape (B, N, hidden).
        b: shape (B, M, hidden).
        second: W, shape (hidden, d).
        u: shape (B, M, d).
    """
    return _SmoothSums.apply(interpolation, a.transpose(1, 2).contiguous(), b.transpose(1, 2).contiguous(), second, u)


class _SmoothSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, how: Interpolation, a: Tensor, b: Tensor, second: Tensor, u: Tensor) -> Tensor:
        batch, hidden, queries = a.shape
        shape = (batch, how.number, hidden, u.shape[-1])
        sums, slopes = u.new_zeros(shape), u.new_zeros(shape) if ctx.needs_input_grad[1] else None
        for j in how.parts(b):
            if slopes is None:
                value = how.activation(how.at_nodes(b[..., j]))
            else:
                value, slope = value_and_slope(how.activation, how.at_nodes(b[..., j]))
                slopes.flatten(1, 2).baddbmm_(slope.flatten(1, 2), u[:, j])
            sums.flatten(1, 2).baddbmm_(value.flatten(1, 2), u[:, j])
        series = _mixed(coefficients(how.number, u), sums)
        scaled = (series * second).flatten(1, 2)
        out = u.new_empty(batch, queries, u.shape[-1])
        for i in how.parts(a):
            out[:, i] = how.basis(a[..., i]).flatten(1, 2).transpose(1, 2) @ scaled
        ctx.how = how
        ctx.save_for_backward(a, b, second, u, series, slopes)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives("ChebyshevEvaluator", grad)
        how: Interpolation = ctx.how
        a, b, second, u, series, slopes = ctx.saved_tensors
        grad_a = None
        if slopes is not None:
            grad_a, weighted = torch.empty_like(a), _mixed(coefficients(how.number, u), slopes * second).flatten(1, 2)
        grad_b, grad_u, moments = torch.empty_like(b), torch.empty_like(u), torch.zeros_like(series).flatten(1, 2)
        for i in how.parts(a):
            basis, g = how.basis(a[..., i]), grad[:, i]
            moments.baddbmm_(basis.flatten(1, 2), g)
            if grad_a is not None:
                grad_a[..., i] = ((weighted @ g.transpose(1, 2)).view_as(basis) * basis).sum(1)
        moments = moments.view_as(series)
        back = _mixed(coefficients(how.number, u).T, moments * second).flatten(1, 2)
        for j in how.parts(b):
            value, slope = value_and_slope(how.activation, how.at_nodes(b[..., j]))
            grad_b[..., j] = slope.mul_((back @ u[:, j].transpose(1, 2)).view_as(slope)).sum(1)
            grad_u[:, j] = value.flatten(1, 2).transpose(1, 2) @ back
        return None, grad_a, grad_b, (moments * series).sum((0, 1)), grad_u


def _mixed(matrix: Tensor, numbers: Tensor) -> Tensor:
    """Apply a matrix along the nodes of numbers (B, nodes, hidden, d)."""
    return (matrix @ numbers.flatten(2)).view_as(numbers)
