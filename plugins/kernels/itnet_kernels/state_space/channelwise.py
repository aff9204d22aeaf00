"""State-space kernels with a scalar kernel for each channel."""

from __future__ import annotations

from typing import Any

from torch import nn

from itnet_core import ComponentConfig, ShapeError, State, Terms
from itnet_kernels.causal import CausalKernel


class ChannelwiseKernel(CausalKernel[Terms, State]):
    """Base class of kernels over the past with one head for each channel: V and O are views, without parameters.

    Args:
        dim: channels of the fields, and heads.
        config: an instance of `Config`; its fields may also be given as keyword arguments.
    """

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.heads = dim

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

    def _check(self, dim: int, head_dim: int) -> None:
        if (dim, head_dim) != (self.heads, 1):
            raise ShapeError(
                type(self).__name__,
                found=f"{dim} channels in heads of {head_dim}",
                expected=f"{self.heads} channels, each a head",
                hint="A map before or after the operator may change the number of channels.",
            )
