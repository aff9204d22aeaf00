"""Kernels: what two points have to do with each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor, nn
from torch.utils._pytree import tree_map

from itnet_core.config import Configured
from itnet_core.field import Field
from itnet_core.support import Support

Normalization = Literal["none", "softmax"]
Terms = Any
"""Tensors, or nested tuples of tensors, whose first two axes are (B, points)."""


class Points(NamedTuple):
    """One side of the pairs, as evaluators see it.

    Attributes:
        terms: what `Kernel.project` made of the points.
        positions: shape (B, N, p).
        weights: shape (B, N).
        grid: as in `Field`; `None` where the points are a selection.
    """

    terms: Terms
    positions: Tensor
    weights: Tensor
    grid: tuple[int, ...] | None = None

    def narrow(self, points: slice, batch: slice = slice(None)) -> Points:
        """Return some of the points (and samples), as views."""
        terms, positions, weights = tree_map(lambda t: t[batch, points], (self.terms, self.positions, self.weights))
        return Points(terms, positions, weights)


class Kernel(Configured, nn.Module, ABC):
    """Base of kernels: k_h(x, y, u(x), u(y)) from two functions (OPERATOR §3).

    `project` computes in O(N) what each point contributes; `tile` computes any block of pairs from these terms alone.
    From the two, evaluators, samplers, supports and both normalisations follow.

    Attributes:
        heads: the number of scalar kernels.
        normalization: `none` for Σ_j w_j k v, `softmax` for Σ_j w_j e^k v / Σ_j w_j e^k.
        support: the pairs that the integral runs over.
        shortcut: whether `integrate` is there, for some points at least.
    """

    heads: int
    normalization: Normalization = "none"
    support: Support = Support()
    shortcut: ClassVar[bool] = False

    @abstractmethod
    def project(self, query: Field, key: Field) -> tuple[Terms, Terms]:
        """Return the query points' and the key points' terms; it may see the whole fields."""

    @abstractmethod
    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Return k of shape (B, heads, n, m) for a block of n query and m key points, from their terms alone."""

    def forward(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Call `tile`; evaluators do so through `torch.func.functional_call`, so that parameters may be replaced."""
        return self.tile(query_terms, key_terms)

    @property
    def pair_width(self) -> int:
        """How many numbers `tile` holds for each pair of points at its peak; evaluators size their tiles by it."""
        return self.heads

    def integrates(self, query: Points, key: Points) -> bool:
        """Whether `integrate` applies to these points. A kernel without a shortcut keeps this default, `False`."""
        return False

    def integrate(self, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return what the evaluators would, by a faster algorithm.

        Args:
            query: N points; their weights play no part.
            key: M points with their weights.
            values: shape (B, M, heads, head_dim).

        Returns:
            Shape (B, N, heads, head_dim).
        """
        raise NotImplementedError(f"{type(self).__name__} declares no shortcut")

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return the module that maps values (B, M, dim) to (B, M, heads, head_dim): V, one linear map by default."""
        linear = nn.Linear(dim, self.heads * head_dim, bias=False)
        return nn.Sequential(linear, nn.Unflatten(-1, (self.heads, head_dim)))

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        """Return the module that maps (B, N, heads, head_dim) to (B, N, dim): Σ_h O_h, one linear map by default."""
        return nn.Sequential(nn.Flatten(-2), nn.Linear(self.heads * head_dim, dim))
