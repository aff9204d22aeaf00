"""Kernels over the past whose heads are the channels of the field."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from itnet_core import Kernel, Measure, Problem, ShapeError, Support
from itnet_kernels.numerics.timeline import in_order, ordered_alone


class ChannelwiseKernel(Kernel[Any, Any]):
    """Base of recurrences with one scalar kernel for each channel: V and O are views, without parameters.

    The integral is a sum over the past, by the counting measure; its shortcut needs points in order, the same on both
    sides.

    Args:
        dim: channels of the fields, and heads.
        axis: of the positions, that is time.
    """

    measure: Measure = "counting"
    scans = True

    @classmethod
    def reads_positions(cls, config: Any, axes: str) -> bool:
        """Return whether points differ in time alone."""
        return ordered_alone(config.axis, axes)

    def __init__(self, dim: int, axis: str | int) -> None:
        super().__init__()
        self.heads, self.support = dim, Support(causal=axis)

    def value_dim(self, dim: int) -> int:
        """Return 1: a head is a channel."""
        return 1

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return the view of (B, M, dim) as (B, M, dim, 1).

        Raises:
            ShapeError: `dim` is not the kernel's, or `head_dim` is not 1.
        """
        self._check(dim, head_dim)
        return nn.Unflatten(-1, (self.heads, 1))

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        """Return the view of (B, N, dim, 1) as (B, N, dim).

        Raises:
            ShapeError: `dim` is not the kernel's, or `head_dim` is not 1.
        """
        self._check(dim, head_dim)
        return nn.Flatten(-2)

    def can_integrate(self, problem: Problem[Any]) -> bool:
        """Whether the points are in order, the same on both sides."""
        return in_order(problem.query, problem.key, self.support)

    def time(self, positions: Tensor) -> Tensor:
        """Return the coordinate that is time, (B, N), of positions (B, N, p)."""
        return positions[..., self.support.causal_axis(positions.shape[-1])]

    def _check(self, dim: int, head_dim: int) -> None:
        if (dim, head_dim) != (self.heads, 1):
            raise ShapeError(
                type(self).__name__,
                found=f"{dim} channels in heads of {head_dim}",
                expected=f"{self.heads} channels, each a head",
                hint="A map before or after the operator may change the number of channels.",
            )


def init_log_steps(dim: int, shortest: float, longest: float) -> Tensor:
    """Return logarithms of `dim` steps, drawn evenly on a logarithmic scale, as S4 and Mamba start."""
    low, high = torch.tensor([shortest, longest]).log()
    return low + (high - low) * torch.rand(dim)
