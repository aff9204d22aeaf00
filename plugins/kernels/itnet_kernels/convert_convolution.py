"""PyTorch's convolutions as integral operators."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import torch
from torch import Tensor, nn

from itnet_core import Field, IntegralOperator
from itnet_kernels.convolution import ConvolutionKernel
from itnet_kernels.errors import ConversionError

AXES = ("x", "yx", "zyx")


class GridConvolution(nn.Module):
    """What a convolution of PyTorch does to a tensor, (B, C, *sizes) or (C, *sizes), by an integral operator.

    The input is a field at the points 0, 1, 2, …; stride and padding say at which points its transform is wanted.

    Args:
        module: the convolution; its parameters are shared, not copied.
        padding: zeros before and after the input along each dimension; the module's own by default.

    Raises:
        ConversionError: it pads with anything but zeros.
    """

    def __init__(
        self, module: nn.Conv1d | nn.Conv2d | nn.Conv3d, padding: Sequence[tuple[int, int]] | None = None
    ) -> None:
        super().__init__()
        if module.padding_mode != "zeros":
            raise ConversionError(
                f"{type(module).__name__}.padding_mode",
                found=repr(module.padding_mode),
                expected="'zeros'",
                mend="Pad by a layer of its own before the convolution.",
            )
        kernel = ConvolutionKernel(
            module.in_channels,
            kernel_size=module.kernel_size,
            dilation=module.dilation,
            groups=module.groups,
            axes=AXES[len(module.kernel_size) - 1],
            spacing=1.0,
            bias=module.bias is not None,
        )
        channels = module.out_channels
        with torch.device("meta"):  # the weights are the module's
            operator = IntegralOperator(
                module.in_channels, kernel, out_dim=channels, head_dim=channels, pointwise=False
            )
        operator.value.weight, operator.output.bias = module.weight, module.bias  # type: ignore[assignment]
        self.operator = operator
        self.stride = module.stride
        self.spans = [(size - 1) * dilation for size, dilation in zip(module.kernel_size, module.dilation, strict=True)]
        self.padding = list(padding or self._padding(module.padding))
        # The query point of a window lies at its centre tap.
        offsets = zip(self.padding, kernel.centre, kernel.dilation, strict=True)
        self.first = [centre * dilation - before for (before, _), centre, dilation in offsets]

    def _padding(self, said: str | tuple[int, ...]) -> list[tuple[int, int]]:
        if said == "same":
            return [(span // 2, span - span // 2) for span in self.spans]
        return [(0, 0) for _ in self.spans] if said == "valid" else [(int(n), int(n)) for n in said]

    def forward(self, tensor: Tensor) -> Tensor:
        """Return what the convolution would."""
        dimensions = len(self.stride)
        batched = tensor if tensor.ndim == dimensions + 2 else tensor.unsqueeze(0)
        sizes = tuple(batched.shape[2:])
        windows = zip(sizes, self.padding, self.spans, self.stride, strict=True)
        found = tuple((size + sum(padding) - span - 1) // stride + 1 for size, padding, span, stride in windows)
        values = batched.flatten(2).transpose(1, 2)
        key = _grid(len(values), sizes, (0,) * dimensions, (1,) * dimensions, values.device).with_values(values)
        nothing = values.new_zeros(1, 1, 1).expand(len(values), prod(found), values.shape[-1])
        query = _grid(len(values), found, tuple(self.first), tuple(self.stride), values.device).with_values(nothing)
        out = self.operator(query, key).values.transpose(1, 2).unflatten(-1, found)
        return out if tensor.ndim == dimensions + 2 else out.squeeze(0)


@lru_cache(maxsize=64)
def _grid(
    batch: int, sizes: tuple[int, ...], first: tuple[int, ...], steps: tuple[int, ...], device: torch.device
) -> Field:
    """Return the points of a grid of whole numbers, by the counting measure, as a field without channels."""
    lines = [a + s * torch.arange(n, device=device) for n, a, s in zip(sizes, first, steps, strict=True)]
    positions = torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1).flatten(0, -2).to(torch.float32)
    points = positions.expand(batch, -1, -1)
    return Field(points[..., :0], points, torch.ones(1, len(positions), device=device).expand(batch, -1), grid=sizes)
