"""One block of a trunk: an integral operator and a feed-forward part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from itnet_core.models.norms import ACTIVATIONS, NORMS, BlockActivation, Norm, StochasticDepth, normalized
from itnet_core.models.query_points import QueryPoints
from itnet_core.operator.field import Field
from itnet_core.operator.integral_operator import IntegralOperator
from itnet_core.plugin.errors import ConfigError


class Block(nn.Module):
    """u ← u + Integral(norm u); u ← u + FFN(norm u).

    With query points x of its own, a block integrates over its input u and adds the integral to the values v at x:
    v + Integral(norm v, norm u). Where the operator changes the number of channels, the sum is left out: the
    operator's own W_o v is the linear map between them.

    Example:
        >>> block = Block(IntegralOperator(8, MLPKernel(8)))
        >>> block(Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))).values.shape
        torch.Size([1, 5, 8])

    Args:
        operator: the integral operator; its `out_dim` is the block's width.
        ffn_ratio: hidden width of the feed-forward part, as a multiple of the width; 0 for none.
        norm: kind of the norms; `batch` normalises over all points of the batch that are not padding. `none` keeps the
            scale of a function, which an operator between fields needs.
        norm_first: whether the norms are applied before the operator and the feed-forward part. Otherwise they are
            applied after, as in convolutional networks: u ← u + activation(norm Integral(u)); u ← u + norm FFN(u).
        activation: between the maps of the feed-forward part, and after the norm if it is not first.
        dropout: probability of dropping an element of either residual branch, in training.
        stochastic_depth: probability of dropping a residual branch of a sample, in training.
        query: the query points; those of the input by default.
        query_dim: channels of the field at the query points; those of the input by default.
    """

    def __init__(
        self,
        operator: IntegralOperator,
        *,
        ffn_ratio: float = 4.5,
        norm: Norm = "layer",
        norm_first: bool = True,
        activation: BlockActivation = "gelu",
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
        query: QueryPoints | None = None,
        query_dim: int | None = None,
    ) -> None:
        super().__init__()
        width, hidden = operator.out_dim, int(ffn_ratio * operator.out_dim)
        query_dim = operator.dim if query_dim is None else query_dim
        self.operator = operator
        self.norm_first = norm_first
        self.norm = NORMS[norm](operator.dim if norm_first else width)
        self.activation = ACTIVATIONS[activation]()
        self.query = query
        if query is not None:
            self.query_norm = NORMS[norm](query_dim) if norm_first else nn.Identity()
            self.query_map = nn.Identity() if query_dim == operator.dim else nn.Linear(query_dim, operator.dim)
        self.residual = query_dim == width
        self.ffn_norm: nn.Module | None = None
        self.ffn: nn.Module | None = None
        if hidden:
            self.ffn_norm = NORMS[norm](width)
            self.ffn = nn.Sequential(nn.Linear(width, hidden), ACTIVATIONS[activation](), nn.Linear(hidden, width))
        self.drop = nn.Sequential(nn.Dropout(dropout), StochasticDepth(stochastic_depth))

    def forward(self, field: Field, earlier: Mapping[int, Field] | None = None) -> Field:
        """Apply the block.

        Args:
            field: the field to integrate.
            earlier: outputs of earlier blocks by their number, for the query points of one of them.

        Returns:
            The field at the query points.
        """
        key = normalized(self.norm, field) if self.norm_first else field
        if self.query is None:
            return self._finish(field, self.operator(key))
        start = self._query_points(self.query, field, {} if earlier is None else earlier)
        query = normalized(self.query_norm, start).map(self.query_map)
        return self._finish(start, self.operator(query, key))

    def _query_points(self, query: QueryPoints, field: Field, earlier: Mapping[int, Field]) -> Field:
        shards = field.points.shards
        if shards is None:
            return query(field, earlier)
        return query(field.gather(), {number: other.gather() for number, other in earlier.items()}).shard(shards.group)

    def step(self, state: Any, field: Field) -> tuple[Any, Field]:
        """Advance a stream by one point; see `IntegralOperator.step`.

        Raises:
            ConfigError: the block has query points of its own, or its operator does not stream.
        """
        if self.query is not None:
            found = f"query points of its own ({type(self.query).__name__})"
            raise ConfigError("Block.step", found=found, expected="a block at the points of its input")
        state, integral = self.operator.step(state, normalized(self.norm, field) if self.norm_first else field)
        return state, self._finish(field, integral)

    def _finish(self, start: Field, integral: Field) -> Field:
        if not self.norm_first:
            integral = normalized(self.norm, integral).map(self.activation)
        field = start.with_values(start.values + self.drop(integral.values)) if self.residual else integral
        if self.ffn is None or self.ffn_norm is None:
            return field
        if self.norm_first:
            branch = normalized(self.ffn_norm, field).map(self.ffn)
        else:
            branch = normalized(self.ffn_norm, field.map(self.ffn))
        return field.with_values(field.values + self.drop(branch.values))
