"""Kernel of low rank."""

from __future__ import annotations

from typing import Any, cast

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Field, Kernel, Problem, ScalarConfig, Support, precise
from itnet_kernels.numerics.weights import apply_weights


class LowRankKernel(Kernel[Tensor, None]):
    """Low rank: k_h(x, y) = Σ_r a_hr(x, u(x)) b_hr(y, u(y)), with networks a and b (docs/operator.md, §6).

    The networks have one hidden layer. `integrate` is Σ_r a_hr(x) ∫ b_hr(y) V_h u(y) dμ(y), in O(N) and without a
    tensor of pairs. It applies without a support, which would couple the pairs. The last layers of the networks are
    linear, so they are applied to the integral of the hidden units: for all heads together, one matrix product over the
    points of each side, whatever the rank.

    Example:
        >>> operator = IntegralOperator(8, LowRankKernel(8, rank=16))
        >>> operator(Field(torch.randn(1, 1000, 8), torch.rand(1, 1000, 4))).values.shape
        torch.Size([1, 1000, 8])

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.
    """

    transformable = True
    pointwise_terms = True

    class Config(ScalarConfig):
        """Rank, networks and support."""

        heads: PositiveInt = 4
        """Number of scalar kernels."""
        rank: PositiveInt = 64
        """Terms of the sum, for each head; more than hidden + 1 add nothing."""
        hidden: PositiveInt = 64
        """Hidden units of each of the two networks."""
        position_dim: PositiveInt = 4
        """Coordinates of a position, p; 4 in models."""
        support: Support = Support()
        """Pairs that the integral runs over."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.values, self.support = c.heads, c.values, c.support
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
        """Compute the hidden units of a, (B, N, hidden), and of b, (B, M, hidden), in float32 at least.

        Half precision does not resolve positions, nor what is learned of them.

        Raises:
            ShapeError: the number of coordinates of the positions is not `position_dim`.
        """
        self.check_coordinates(key, self.config.position_dim)
        return _hidden(self.query_factor, query), _hidden(self.key_factor, key)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Compute k, shape (B, heads, n, m)."""
        (first, first_bias), (second, second_bias) = self._last(self.query_factor), self._last(self.key_factor)
        a = torch.einsum("hrc,bnc->bhnr", first, query_terms) + first_bias.unsqueeze(1)
        b = torch.einsum("hrc,bmc->bhmr", second, key_terms) + second_bias.unsqueeze(1)
        return a @ b.transpose(-1, -2) / self.config.rank**0.5

    def initialize(self, shortest: float, longest: float) -> bool:
        """Return `True`: the integral, whose standard deviation would be 0.01, is scaled to unit variance."""
        return True

    def can_integrate(self, problem: Problem[Tensor]) -> bool:
        """Whether the integral runs over all pairs, so that they separate."""
        return self.support.everywhere

    def integrate(self, problem: Problem[Tensor]) -> Tensor:
        """Compute Σ_r a_r Σ_j w_j b_r(y_j) v_j."""
        weighted = apply_weights(problem.values, problem.key).to(problem.key_terms.dtype)
        hidden = problem.key_terms.transpose(1, 2) @ weighted.flatten(2)
        hidden = torch.unflatten(hidden, -1, weighted.shape[2:])
        (a, a_bias), (b, b_bias) = self._last(self.query_factor), self._last(self.key_factor)
        moments = torch.einsum("hrc,bchd->bhrd", b, hidden) + b_bias.unsqueeze(-1) * weighted.sum(1).unsqueeze(2)
        moments = moments / self.config.rank**0.5
        mixed = torch.einsum("hrc,bhrd->bchd", a, moments).flatten(2)
        constant = (a_bias.unsqueeze(-1) * moments).sum(2).flatten(1).unsqueeze(1)
        sums = problem.query_terms @ mixed + constant
        return torch.unflatten(sums, -1, (self.heads, -1)).to(problem.values.dtype)

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
