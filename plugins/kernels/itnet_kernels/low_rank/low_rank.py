"""A kernel of low rank."""

from __future__ import annotations

from typing import Any, cast

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Field, Kernel, Problem, Support
from itnet_core.operator.precision import precise
from itnet_kernels.numerics.weights import apply_weights


class LowRankKernel(Kernel[Any, Any]):
    """k_h(x, y) = Σ_r a_hr(x, u(x)) b_hr(y, u(y)), with one-layer networks a and b (docs/operator.md, §6).

    The integral is then Σ_r a_hr(x) ∫ b_hr(y) V_h u(y) dμ(y), in O(N) and without a tensor of pairs. The networks' last
    layers are linear, so they are applied to the integral of the hidden units, not to each point: for all heads
    together that is one matrix product over the points of each side, whatever the rank. With a support the pairs
    cannot be separated, and the sum runs over them as for any kernel.
    """

    transformable = True

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            heads: scalar kernels.
            rank: terms of the sum, for each head; more than hidden + 1 add nothing.
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
        """Return the hidden units of a, (B, N, hidden), and of b, (B, M, hidden), in float32 at least.

        Half precision has no room for positions, nor for what is learned of them.

        Raises:
            ShapeError: positions have other coordinates than `position_dim`.
        """
        self.check_coordinates(key, self.config.position_dim)
        return _hidden(self.query_factor, query), _hidden(self.key_factor, key)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Return k of shape (B, heads, n, m)."""
        (first, first_bias), (second, second_bias) = self._last(self.query_factor), self._last(self.key_factor)
        a = torch.einsum("hrc,bnc->bhnr", first, query_terms) + first_bias.unsqueeze(1)
        b = torch.einsum("hrc,bmc->bhmr", second, key_terms) + second_bias.unsqueeze(1)
        return a @ b.transpose(-1, -2) / self.config.rank**0.5

    def can_integrate(self, problem: Problem[Any]) -> bool:
        """Whether the pairs can be separated: where the integral runs over all of them."""
        return self.support.everywhere

    def integrate(self, problem: Problem[Any]) -> Tensor:
        """Return Σ_r a_r Σ_j w_j b_r(y_j) v_j."""
        massed = apply_weights(problem.values, problem.key).to(problem.key_terms.dtype)
        hidden = (problem.key_terms.transpose(1, 2) @ massed.flatten(2)).unflatten(-1, problem.values.shape[2:])
        (a, a_bias), (b, b_bias) = self._last(self.query_factor), self._last(self.key_factor)
        moments = torch.einsum("hrc,bchd->bhrd", b, hidden) + b_bias.unsqueeze(-1) * massed.sum(1).unsqueeze(2)
        moments = moments / self.config.rank**0.5
        core = torch.einsum("hrc,bhrd->bchd", a, moments).flatten(2)
        constant = (a_bias.unsqueeze(-1) * moments).sum(2).flatten(1).unsqueeze(1)
        return (problem.query_terms @ core + constant).unflatten(-1, problem.values.shape[2:]).to(problem.values.dtype)

    def _last(self, factor: nn.Sequential) -> tuple[Tensor, Tensor]:
        """Return the weight, (heads, rank, hidden), and the bias, (heads, rank), of a factor's last layer."""
        last = cast(nn.Linear, factor[2])
        weight, bias = precise(last.weight), precise(last.bias)
        return weight.view(self.heads, -1, last.in_features), bias.view(self.heads, -1)


def _hidden(factor: nn.Sequential, field: Field) -> Tensor:
    first = cast(nn.Linear, factor[0])
    weight, bias = precise(first.weight), precise(first.bias)
    with torch.autocast(field.device.type, enabled=False):
        inputs = torch.cat([field.values.to(weight.dtype), field.positions.to(weight.dtype)], dim=-1)
        return F.gelu(F.linear(inputs, weight, bias))
