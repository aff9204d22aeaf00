"""Conversion of PyTorch's convolutions."""

from __future__ import annotations

from math import prod
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from itnet_core import Field, IntegralOperator, ShapeError
from itnet_kernels.conversion.converted import ConvertedLayer, takes_fast_path
from itnet_kernels.convolution.convolution import ConvolutionKernel
from itnet_kernels.convolution.taps import apply_taps
from itnet_kernels.errors import ConversionError

AXES = ("x", "yx", "zyx")


class GridConvolution(ConvertedLayer, _ConvNd):
    """`torch.nn.Conv1d`, `Conv2d` or `Conv3d` on tensors, (B, C, *sizes) or (C, *sizes), by an integral operator.

    The input is a field at the points 0, 1, 2, …; stride and padding determine the query points. The kernel's fast path
    on such a grid is the original's `forward`.

    Args:
        module: the convolution; its parameters are shared.

    Raises:
        ConversionError: the padding mode is not zeros.
    """

    operator: IntegralOperator

    def __init__(self, module: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> None:
        if module.padding_mode != "zeros":
            raise ConversionError(
                f"{type(module).__name__}.padding_mode",
                found=repr(module.padding_mode),
                expected="'zeros'",
                hint="Pad by a layer of its own before the convolution.",
            )
        super().__init__(module)
        axes = AXES[len(module.kernel_size) - 1]
        taps, dim = prod(module.kernel_size), module.out_channels
        kernel = TapKernel(taps * dim, kernel_size=module.kernel_size, dilation=module.dilation, axes=axes, spacing=1.0)
        self.operator = IntegralOperator(taps * dim, kernel, out_dim=dim, head_dim=dim, pointwise=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Compute the convolution, as the original.

        Raises:
            ShapeError: the input has another number of dimensions, or is smaller than the kernel.
        """
        dimensions = len(self.kernel_size)
        if input.ndim not in (dimensions + 1, dimensions + 2):
            expected = f"(C, *sizes) or (B, C, *sizes) with {dimensions} sizes"
            raise ShapeError(type(self).__name__, found=f"shape {tuple(input.shape)}", expected=expected)
        spans = [(size - 1) * dilation for size, dilation in zip(self.kernel_size, self.dilation, strict=True)]
        padding, sizes = self._padding(spans), tuple(input.shape[-dimensions:])
        windows = zip(sizes, padding, spans, self.stride, strict=True)
        out_sizes = tuple((size + sum(around) - span - 1) // stride + 1 for size, around, span, stride in windows)
        if min(out_sizes) < 1:
            raise ShapeError(
                type(self).__name__, found=f"sizes {sizes}", expected=f"more than {spans}, with padding {padding}"
            )
        if 0 in input.shape or takes_fast_path(self.operator):
            return cast(Tensor, super().forward(input))
        batched = input if input.ndim == dimensions + 2 else input.unsqueeze(0)
        taps = apply_taps(batched.flatten(2).transpose(1, 2), self.weight, self.groups).flatten(2)
        key = _field(taps, sizes, [0] * dimensions, (1,) * dimensions)
        # The query point of a window is at its centre tap.
        kernel = cast(ConvolutionKernel, self.operator.kernel)
        offsets = zip(padding, kernel.centre, self.dilation, strict=True)
        first = [centre * dilation - before for (before, _), centre, dilation in offsets]
        zeros = taps.new_zeros(1, 1, 1).expand(len(taps), prod(out_sizes), taps.shape[-1])
        out = self.operator(_field(zeros, out_sizes, first, self.stride), key).values
        out = out if self.bias is None else out + self.bias
        out = out.transpose(1, 2).unflatten(-1, out_sizes)
        return out if input.ndim == dimensions + 2 else out.squeeze(0)

    def _padding(self, spans: list[int]) -> list[tuple[int, int]]:
        """Return the number of zeros before and after the input along each dimension."""
        if self.padding == "same":
            return [(span // 2, span - span // 2) for span in spans]
        return [(0, 0) for _ in spans] if self.padding == "valid" else [(int(n), int(n)) for n in self.padding]


class TapKernel(ConvolutionKernel):
    """The convolution's kernel for a field whose channels are V u, tap by tap; V is the layer's own."""

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


def _field(values: Tensor, sizes: tuple[int, ...], first: list[int], steps: tuple[int, ...]) -> Field:
    """Return a field of values, (B, N, d), on a grid of whole numbers, with the counting measure."""
    lines = [a + s * torch.arange(n, device=values.device) for n, a, s in zip(sizes, first, steps, strict=True)]
    positions = torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1).flatten(0, -2).to(torch.float32)
    weights = positions.new_ones(1, 1).expand(values.shape[:2])
    return Field(values, positions.expand(values.shape[0], -1, -1), weights, grid=sizes)
