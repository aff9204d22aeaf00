"""The trunk: pre-norm blocks of integral operators, shared by all modalities."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from itnet_core.field import Field
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
        integral = self.operator(field.map(self.norm)).values
        field = field.with_values(field.values + self.dropout(integral))
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
