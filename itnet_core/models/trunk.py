"""The trunk: blocks of integral operators, shared by all modalities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from itnet_core.models.block import Block
from itnet_core.models.position import FourierPositions, Position
from itnet_core.models.query_points import EarlierPoints
from itnet_core.models.scan_order import Scan, ScanOrder
from itnet_core.operator.auxiliary import auxiliary_losses, collecting
from itnet_core.operator.field import AXES, Field
from itnet_core.plugin.errors import ConfigError, ShapeError


class Trunk(nn.Module):
    """Blocks one after another, between an optional position encoding and a last norm.

    Blocks whose kernels scan see the points in a scan order.

    Example:
        >>> trunk = Trunk(Block(IntegralOperator(8, MLPKernel(8))) for _ in range(2))
        >>> trunk(Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))).values.shape
        torch.Size([1, 5, 8])

    Args:
        blocks: the blocks; each takes as many channels as the one before gives.
        position: the position encoding, for kernels that do not read positions; see `FourierPositions`.
        scan: the order of points that are not ordered in time, for blocks whose kernels scan; see `ScanOrder`.

    Attributes:
        group: processes of `torch.distributed` that share the points of each field, as `Field.shard` deals them; set it
            where all of them have the same inputs. `None` by default.
        recompute: whether the backward pass computes the inside of each block again, so that it is not kept (gradient
            checkpointing). Batch norms in blocks would count each batch twice. `False` by default.

    Raises:
        ConfigError: a scan order is set, but no kernel scans, the kernels scan different axes, or a block that scans
            has query points of its own.
    """

    def __init__(self, blocks: Iterable[Block], *, position: Position = "none", scan: Scan = "none") -> None:
        super().__init__()
        self.group: Any = None
        self.recompute = False
        self.blocks = nn.ModuleList(blocks)
        last = self._parts[-1]
        plain = isinstance(last.norm, nn.Identity)
        self.norm: nn.Module = nn.Identity() if plain else nn.LayerNorm(self.out_dim)
        self.position = FourierPositions(self._parts[0].operator.dim) if position == "fourier" else None
        self.scan = None if scan == "none" else ScanOrder(self._scanned_axis(scan), scan)

    @property
    def out_dim(self) -> int:
        """Channels of the trunk's field."""
        return self._parts[-1].operator.out_dim

    def forward(self, field: Field) -> Field:
        """Return the field after all blocks, at the query points of the last one.

        Raises:
            ShapeError: a position encoding or a scan order is set, and positions do not lie in R^4.
        """
        return self.fields(field, ())[-1]

    def fields(self, field: Field, blocks: Sequence[int]) -> list[Field]:
        """Return the fields after some blocks, before the trunk's last norm, and the field after all blocks.

        Args:
            field: as for `forward`.
            blocks: numbers of blocks, from 0.

        Raises:
            ShapeError: as for `forward`.
        """
        field = self._positioned(field)
        field = field if self.group is None else field.shard(self.group)
        earlier = {-1: field}
        kept = self._queried() | set(blocks)
        for run in self._runs(kept):
            function = partial(self._through, run, earlier)
            field = self._scanned(field, function) if self._scans(run[0]) else function(field)
            if run[-1] in kept:
                earlier[run[-1]] = field
        return [part.gather() for part in (*(earlier[number] for number in blocks), field.map(self.norm))]

    def step(self, states: Sequence[Any] | None, field: Field) -> tuple[Sequence[Any], Field]:
        """Advance a stream by one point: return the blocks' new states, and the output field at that point.

        Args:
            states: as the step before returned them, one for each block; `None` at the first point.
            field: the new point, (B, 1, d); see `IntegralOperator.step`. It is later than all before it, so that no
                scan order applies.

        Raises:
            ConfigError: a block does not stream.
            ShapeError: as `forward`.
        """
        after: list[Any] = []
        field = self._positioned(field)
        for block, state in zip(self._parts, states or [None] * len(self.blocks), strict=True):
            state, field = block.step(state, field)
            after.append(state)
        return after, field.map(self.norm)

    @property
    def _parts(self) -> Sequence[Block]:
        return cast(Sequence[Block], self.blocks)

    def _positioned(self, field: Field) -> Field:
        coordinates = field.positions.shape[-1]
        if coordinates != len(AXES) and (self.position is not None or self.scan is not None):
            raise ShapeError(
                "Trunk(field)", found=f"{coordinates} coordinates", expected=f"{len(AXES)}: {', '.join(AXES)}"
            )
        return field if self.position is None else self.position(field)

    def _runs(self, kept: set[int]) -> Iterator[Sequence[int]]:
        """Yield the numbers of the blocks that are applied together: those that scan share one scan order."""
        run: list[int] = []
        for number in range(len(self.blocks)):
            run.append(number)
            joined = self._scans(number) and number + 1 < len(self.blocks) and self._scans(number + 1)
            if not joined or number in kept:
                yield run
                run = []

    def _through(self, run: Sequence[int], earlier: Mapping[int, Field], field: Field) -> Field:
        for number in run:
            field = self._block(self.blocks[number], field, earlier)
        return field

    def _block(self, block: nn.Module, field: Field, earlier: Mapping[int, Field]) -> Field:
        if not (self.recompute and torch.is_grad_enabled()):
            return cast(Field, block(field, earlier))
        out = checkpoint(block, field, earlier, use_reentrant=False, context_fn=_recomputation)
        return cast(Field, out)

    def _scanned(self, field: Field, function: Callable[[Field], Field]) -> Field:
        """Apply blocks in scan order, to the whole field."""
        assert self.scan is not None
        out = self.scan(field.gather(), function)
        return out if self.group is None else out.shard(self.group)

    def _scans(self, number: int) -> bool:
        kernels = self._parts[number].operator.kernel.summands
        return self.scan is not None and any(kernel.scans for kernel in kernels)

    def _queried(self) -> set[int]:
        """Return the numbers of the blocks whose outputs are query points of later ones."""
        return {block.query.block for block in self._parts if isinstance(block.query, EarlierPoints)}

    def _scanned_axis(self, scan: Scan) -> int:
        kernels = [kernel for block in self._parts for kernel in block.operator.kernel.summands]
        axes = {kernel.support.causal_axis(len(AXES)) for kernel in kernels if kernel.scans}
        if len(axes) != 1:
            names = ", ".join(sorted({type(kernel).__name__ for kernel in kernels}))
            found = f"{scan!r} with {names}, which scan {len(axes)} axes"
            expected = "'none', or kernels that scan one axis, as recurrences and state spaces do"
            hint = "For a kernel that does not scan, set position = 'fourier'."
            raise ConfigError("scan", found=found, expected=expected, hint=hint)
        for number, block in enumerate(self._parts):
            if block.query is not None and any(kernel.scans for kernel in block.operator.kernel.summands):
                found = f"query points of its own in blocks[{number}], whose kernel scans"
                raise ConfigError("scan", found=found, expected="blocks that scan at the points of their input")
        return axes.pop()


def _recomputation() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Return the contexts of a block's first and second computation: both compute auxiliary losses, or neither."""
    return nullcontext(), auxiliary_losses() if collecting() else nullcontext()
