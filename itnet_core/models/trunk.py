"""The trunk: pre-norm blocks of integral operators, shared by all modalities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from torch import nn

from itnet_core.models.position import FourierPositions, Position
from itnet_core.models.scan_order import Scan, ScanOrder
from itnet_core.operator.field import AXES, Field
from itnet_core.operator.integral_operator import IntegralOperator
from itnet_core.plugin.errors import ConfigError, ShapeError


class Block(nn.Module):
    """u ← u + Integral(norm u); u ← u + FFN(norm u).

    Example:
        >>> block = Block(IntegralOperator(8, MLPKernel(8)))
        >>> block(Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))).values.shape
        torch.Size([1, 5, 8])

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
        """Apply the block; the points stay the same."""
        return self._finish(field, self.operator(field.map(self.norm)))

    def step(self, state: Any, field: Field) -> tuple[Any, Field]:
        """Advance a stream by one point; see `IntegralOperator.step`."""
        state, integral = self.operator.step(state, field.map(self.norm))
        return state, self._finish(field, integral)

    def _finish(self, field: Field, integral: Field) -> Field:
        field = field.with_values(field.values + self.dropout(integral.values))
        return field.map(lambda u: u + self.dropout(self.ffn(self.ffn_norm(u))))


class Trunk(nn.Module):
    """A position encoding, blocks one after another in a scan order, and a last norm.

    Example:
        >>> trunk = Trunk(IntegralOperator(8, MLPKernel(8)) for _ in range(2))
        >>> trunk(Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))).values.shape
        torch.Size([1, 5, 8])

    Args:
        operators: one integral operator for each block, all of one `dim`.
        ffn_ratio: as for `Block`.
        dropout: as for `Block`.
        position: the position encoding, for kernels that do not read positions; see `FourierPositions`.
        scan: the order of points that are not ordered in time, for kernels that scan; see `ScanOrder`.

    Raises:
        ConfigError: a scan order is set, and no kernel scans, or the kernels scan different axes.
    """

    def __init__(
        self,
        operators: Iterable[IntegralOperator],
        *,
        ffn_ratio: float = 4.5,
        dropout: float = 0.0,
        position: Position = "none",
        scan: Scan = "none",
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(operator, ffn_ratio=ffn_ratio, dropout=dropout) for operator in operators)
        dim = cast(Block, self.blocks[0]).operator.dim
        self.norm = nn.LayerNorm(dim)
        self.position = FourierPositions(dim) if position == "fourier" else None
        self.scan = None if scan == "none" else ScanOrder(self._scanned_axis(scan), scan)

    def forward(self, field: Field) -> Field:
        """Return the field after all blocks, at the same points.

        Raises:
            ShapeError: a position encoding or a scan order is set, and positions do not lie in R^4.
        """
        field = self._positioned(field)
        field = self._blocks(field) if self.scan is None else self.scan(field, self._blocks)
        return field.map(self.norm)

    def step(self, states: Sequence[Any] | None, field: Field) -> tuple[Sequence[Any], Field]:
        """Return the states and the field after all blocks at one more point of a stream.

        Args:
            states: as the step before returned them, one for each block; `None` at the first point.
            field: the new point, (B, 1, d); see `IntegralOperator.step`. It is later than all before it, so that no
                scan order applies.

        Raises:
            ShapeError: as `forward`.
        """
        after: list[Any] = []
        field = self._positioned(field)
        for block, state in zip(self.blocks, states or [None] * len(self.blocks), strict=True):
            state, field = cast(Block, block).step(state, field)
            after.append(state)
        return after, field.map(self.norm)

    def _positioned(self, field: Field) -> Field:
        coordinates = field.positions.shape[-1]
        if coordinates != len(AXES) and (self.position is not None or self.scan is not None):
            raise ShapeError("Trunk(field)", found=f"{coordinates} coordinates", expected=f"{len(AXES)}, {AXES!r}")
        return field if self.position is None else self.position(field)

    def _blocks(self, field: Field) -> Field:
        for block in self.blocks:
            field = block(field)
        return field

    def _scanned_axis(self, scan: Scan) -> int:
        kernels = [kernel for block in self.blocks for kernel in cast(Block, block).operator.kernel.summands]
        axes = {kernel.support.causal_axis(len(AXES)) for kernel in kernels if kernel.scans}
        if len(axes) != 1:
            names = ", ".join(sorted({type(kernel).__name__ for kernel in kernels}))
            found = f"{scan!r} with {names}, which scan {len(axes)} axes"
            expected = "'none', or kernels that scan one axis, as recurrences and state spaces do"
            hint = "A kernel that does not scan gets positions by position = 'fourier'."
            raise ConfigError("scan", found=found, expected=expected, hint=hint)
        return axes.pop()
