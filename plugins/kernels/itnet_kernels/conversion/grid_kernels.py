"""Kernels of converted layers on grids, with maps that have no weights: taps, windows, interpolation and waves."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import Field, Kernel, exact_dtype
from itnet_kernels.convolution.convolution import ConvolutionKernel


class TapKernel(ConvolutionKernel):
    """The convolution's kernel for a field whose channels are V u, tap by tap; a query point lies at the first tap.

    Positions are indices on the grid.
    """

    pointwise_terms = True

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

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return the positions, (B, N, p) and (B, M, p)."""
        return query.positions, key.positions

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


class InterpolationKernel(Kernel[tuple[Tensor, ...], None]):
    """Interpolation: k(x, y) = ∏_d w_d(x_d, y_d), the weights of PyTorch's `interpolate` along each axis d.

    Positions are indices on the two grids.

    Args:
        sizes: of the image.
        scales: number of points of the result along each axis, or the factor of that number as a float.
        options: of `interpolate`, such as its mode.
    """

    heads, measure = 1, "counting"
    pointwise_terms = True

    def __init__(self, sizes: tuple[int, ...], scales: tuple[int | float, ...], options: dict[str, Any]) -> None:
        super().__init__()
        self.sizes, self.scales, self.options = sizes, scales, options

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return the view of the values as those of one head."""
        return nn.Unflatten(-1, (1, dim))

    def output_map(self, head_dim: int, out_dim: int) -> nn.Module:
        """Return the view of the only head."""
        return nn.Flatten(-2)

    def project(self, query: Field, key: Field) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Compute the weights of each axis for the queries, (B, N, its points), and indices of the keys, (B, M)."""
        matrices = (self._weights(axis, query.values) for axis in range(len(self.sizes)))
        indices, points = (side.positions.long().unbind(-1) for side in (query, key))
        return tuple(matrix[index] for matrix, index in zip(matrices, indices, strict=True)), points

    def tile(self, query_terms: tuple[Tensor, ...], key_terms: tuple[Tensor, ...]) -> Tensor:
        """Compute k, shape (B, 1, n, m)."""
        points = query_terms[0].shape[1]
        indices = (index.unsqueeze(1).expand(-1, points, -1) for index in key_terms)
        weights = [rows.gather(-1, index) for rows, index in zip(query_terms, indices, strict=True)]
        return torch.stack(weights).prod(0).unsqueeze(1)

    def _weights(self, axis: int, like: Tensor) -> Tensor:
        """Return the weights along an axis, (points of the result, points): the interpolated unit vectors."""
        size, scale = self.sizes[axis], self.scales[axis]
        # Two equal points along other axes: with one, PyTorch's antialiased weights are wrong.
        line = [size if other == axis else 2 for other in range(len(self.sizes))]
        units = torch.eye(size, dtype=torch.promote_types(like.dtype, torch.float32), device=like.device)
        name, kept = ("size", 2) if isinstance(scale, int) else ("scale_factor", 1.0)
        to: dict[str, Any] = {name: tuple(scale if other == axis else kept for other in range(len(self.sizes)))}
        images = units.view(size, 1, *(size if other == axis else 1 for other in range(len(line)))).expand(-1, 1, *line)
        weights = F.interpolate(images.contiguous(), **to, **self.options).movedim(axis + 2, 1)
        return weights.flatten(2)[..., 0].T.to(like.dtype)


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
