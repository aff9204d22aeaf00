"""The trunk: pre-norm blocks of integral operators, shared by all modalities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from torch import nn

from itnet_core.field import Field
from itnet_core.kernel import State
from itnet_core.operator import IntegralOperator


class Block(nn.Module):
    """u ← u + Integral(norm u); u ← u + FFN(norm u).

    Args:
        operator: the integral operator; its `dim` is the block's width.
        ffn_ratio: hidden width of the feed-forward part, as a multiple of the width.
        dropout: probability of dropping an element of either residual branch, in training.
    """

    def __init__(self, operator: IntegralOperator, *, ffn_ratio: float = 4.5, dropout: float = 0.0) -> None:
        super().__init__()
        dim, hidden = operator.dim, int(ffn_ratio * operator.dim)
        self.operator = operator
        self.norm = nn.LayerNorm(dim)
        self.ffn_norm = nn.LayerNorm(dim)
        self.ffn = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, field: Field) -> Field:
        """Return the field after the block, at the same points."""
        return self._finish(field, self.operator(field.map(self.norm)))

    def step(self, state: State, field: Field) -> tuple[State, Field]:
        """Return the state and the field after the block at one more point of a stream; see `IntegralOperator.step`."""
        state, integral = self.operator.step(state, field.map(self.norm))
        return state, self._finish(field, integral)

    def _finish(self, field: Field, integral: Field) -> Field:
        field = field.with_values(field.values + self.dropout(integral.values))
        return field.map(lambda u: u + self.dropout(self.ffn(self.ffn_norm(u))))


class Trunk(nn.Module):
    """Blocks one after another, and a last norm.

    Args:
        operators: one integral operator for each block, all of one `dim`.
        ffn_ratio: as for `Block`.
        dropout: as for `Block`.
    """

    def __init__(self, operators: Iterable[IntegralOperator], *, ffn_ratio: float = 4.5, dropout: float = 0.0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(each, ffn_ratio=ffn_ratio, dropout=dropout) for each in operators)
        self.norm = nn.LayerNorm(self.blocks[0].operator.dim)

    def forward(self, field: Field) -> Field:
        """Return the field after all blocks, at the same points."""
        for block in self.blocks:
            field = block(field)
        return field.map(self.norm)

    def step(self, states: Sequence[State] | None, field: Field) -> tuple[Sequence[State], Field]:
        """Return the states and the field after all blocks at one more point of a stream.

        Args:
            states: as the step before returned them, one for each block; `None` at the first point.
            field: the new point, (B, 1, d); see `IntegralOperator.step`.
        """
        after: list[State] = []
        for block, state in zip(self.blocks, states or [None] * len(self.blocks), strict=True):
            state, field = cast(Block, block).step(state, field)
            after.append(state)
        return after, field.map(self.norm)
