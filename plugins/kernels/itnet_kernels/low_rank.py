"""A kernel of low rank."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from itnet_core import ComponentConfig, Field, Kernel, ShapeError, Support
from itnet_core.kernel import Points


class LowRankKernel(Kernel):
    """k_h(x, y) = Σ_r a_hr(x, u(x)) b_hr(y, u(y)), with one-layer networks a and b (OPERATOR §6).

    The integral is then Σ_r a_hr(x) ∫ b_hr(y) V_h u(y) dμ(y): two matrix products, O(N r d) instead of O(N²), and no
    tensor of pairs. With a support the pairs cannot be separated, and the sum runs over them as for any kernel.
    """

    shortcut = True

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            heads: scalar kernels.
            rank: terms of the sum, for each head.
            hidden: hidden units of each of the two networks.
            position_dim: coordinates of a position, p; 4 in models.
            support: the pairs that the integral runs over.
        """

        heads: PositiveInt = 4
        rank: PositiveInt = 64
        hidden: PositiveInt = 64
        position_dim: PositiveInt = 4
        support: Support = Support()

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.support = c.heads, c.support
        self.query_factor, self.key_factor = (
            nn.Sequential(
                nn.Linear(dim + c.position_dim, c.hidden),
                nn.GELU(),
                nn.Linear(c.hidden, c.heads * c.rank),
                nn.Unflatten(-1, (c.heads, c.rank)),
            )
            for _ in range(2)
        )

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return a, (B, N, heads, rank), and b / √rank, (B, M, heads, rank).

        Raises:
            ShapeError: positions have other coordinates than `position_dim`.
        """
        if key.positions.shape[-1] != self.config.position_dim:
            raise ShapeError(
                "LowRankKernel",
                found=f"positions of {key.positions.shape[-1]} coordinates",
                expected=f"position_dim = {self.config.position_dim}",
            )
        queries, keys = (torch.cat([f.values, f.positions.to(f.values.dtype)], dim=-1) for f in (query, key))
        return self.query_factor(queries), self.key_factor(keys) / self.config.rank**0.5

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Return k of shape (B, heads, n, m)."""
        return query_terms.transpose(1, 2) @ key_terms.permute(0, 2, 3, 1)

    def integrates(self, query: Points, key: Points) -> bool:
        """Whether the pairs can be separated: where the integral runs over all of them."""
        return self.support.everywhere

    def integrate(self, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return Σ_r a_r Σ_j w_j b_r(y_j) v_j."""
        weighted = key.terms * key.weights.to(values.dtype)[..., None, None]
        moments = weighted.permute(0, 2, 3, 1) @ values.transpose(1, 2)  # (B, heads, rank, head_dim)
        return (query.terms.transpose(1, 2) @ moments).transpose(1, 2)
