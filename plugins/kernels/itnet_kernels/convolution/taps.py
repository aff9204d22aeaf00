"""Value map and output map of a convolution: one matrix for each tap, and a sum over taps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from itnet_core import ShapeError


class TapMaps(nn.Module):
    """V of a convolution: a matrix between channels for each tap, (B, M, dim) → (B, M, taps, head_dim).

    Args:
        dim: channels of the field.
        head_dim: channels of the result.
        kernel_size: taps along each axis.
        groups: parts of the channels that do not mix.

    Attributes:
        weight: shape (head_dim, dim / groups, *kernel_size), as of `torch.nn.Conv2d`.

    Raises:
        ShapeError: `head_dim` is not divisible by `groups`.
    """

    def __init__(self, dim: int, head_dim: int, kernel_size: tuple[int, ...], groups: int) -> None:
        super().__init__()
        if head_dim % groups:
            raise ShapeError(
                "ConvolutionKernel", found=f"head_dim {head_dim}", expected=f"a multiple of {groups}, groups"
            )
        self.groups = groups
        self.weight = nn.Parameter(torch.empty(head_dim, dim // groups, *kernel_size))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)  # as PyTorch initialises its convolutions

    def forward(self, values: Tensor) -> Tensor:
        """Apply each tap's matrix."""
        return apply_taps(values, self.weight, self.groups)


def apply_taps(values: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Apply each tap's matrix to values, (B, M, dim) → (B, M, taps, head_dim).

    Args:
        values: shape (B, M, dim).
        weight: of a convolution, (head_dim, dim / groups, *kernel_size).
        groups: of that convolution.
    """
    weight = weight.reshape(groups, -1, *weight.flatten(2).shape[1:])
    grouped = values.reshape(*values.shape[:2], groups, -1)
    return torch.einsum("bmgi,goit->bmtgo", grouped, weight).flatten(-2)


class SumOfHeads(nn.Module):
    """Σ_h, with a bias: (B, N, heads, dim) → (B, N, dim).

    Args:
        dim: channels.
        bias: whether to add a bias.
    """

    def __init__(self, dim: int, *, bias: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(dim)) if bias else None

    def forward(self, integral: Tensor) -> Tensor:
        """Add up the heads."""
        out = integral.sum(2)
        return out if self.bias is None else out + self.bias
