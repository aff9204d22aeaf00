"""Kernels of converted layers on grids, with maps that have no weights: taps, windows and waves."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from itnet_core import Field, Kernel, exact_dtype
from itnet_kernels.convolution.convolution import ConvolutionKernel


class TapKernel(ConvolutionKernel):
    """The convolution's kernel for a field whose channels are V u, tap by tap; a query point lies at the first tap."""

    def __init__(self, kernel_size: tuple[int, ...], dilation: tuple[int, ...]) -> None:
        axes = "xyz"[: len(dilation)]
        super().__init__(1, kernel_size=kernel_size, dilation=dilation, axes=axes, spacing=1.0)
        self.centre = (0,) * len(dilation)

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return the view of channels as taps."""
        return nn.Unflatten(-1, (self.heads, head_dim))

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        """Return the sum over taps."""
        return _SumOfTaps()

    def can_transform(self, query: Field, key: Field) -> bool:
        """Return `False`: the layer takes the fast path itself, without fields."""
        return False


class _SumOfTaps(nn.Module):
    def forward(self, integral: Tensor) -> Tensor:
        return integral.sum(2)


class WindowKernel(Kernel[Tensor, None]):
    """Sum over a window: k(x, y) = 1 where y lies in the window of x, else 0.

    Positions have 2p coordinates: the first and the last point of the window for x, and twice the same point for y.
    """

    heads, measure = 1, "counting"
    pointwise_terms = True

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return the view of the values as those of one head."""
        return nn.Unflatten(-1, (1, dim))

    def output_map(self, head_dim: int, out_dim: int) -> nn.Module:
        """Return the view of the only head."""
        return nn.Flatten(-2)

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return the positions of both."""
        return query.positions, key.positions

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Compute k, shape (B, 1, n, m)."""
        first, last = query_terms.unsqueeze(2).chunk(2, dim=-1)
        point = key_terms.unsqueeze(1).chunk(2, dim=-1)[0]
        return ((first <= point) & (point <= last)).all(-1).unsqueeze(1).to(query_terms.dtype)


class FourierKernel(Kernel[Tensor, None]):
    """Fourier transform over the points: k(x, y) = cos(2π x y / N) and sin(2π x y / N), for x and y in 0 … N − 1.

    The channels are real and imaginary parts, one half each.
    """

    heads, measure = 2, "counting"

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return the view of the values that both heads share."""
        return nn.Unflatten(-1, (1, dim))

    def output_map(self, head_dim: int, out_dim: int) -> nn.Module:
        """Return the product with e^{−iφ} = cos φ − i sin φ."""
        return _ComplexProduct()

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Compute x / N and y, in float64 where the device has it: rounding of far points is an error of the phase."""
        exact, points = exact_dtype(key.device), (key.sampled_from or key).values.shape[1]
        return query.positions.to(exact) / points, key.positions.to(exact)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Compute k, shape (B, 2, n, m)."""
        phase = 2 * math.pi * (query_terms * key_terms.transpose(1, 2))
        return torch.stack([phase.cos(), phase.sin()], dim=1)


class _ComplexProduct(nn.Module):
    def forward(self, integral: Tensor) -> Tensor:
        (real, imaginary), (real_sine, imaginary_sine) = (head.chunk(2, dim=-1) for head in integral.unbind(2))
        return torch.cat([real + imaginary_sine, imaginary - real_sine], dim=-1)
