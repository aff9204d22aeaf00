"""Query points of a block: the points at which it evaluates its integral, and the values that it adds it to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core.models.neighbours import farthest_points, nearest_points
from itnet_core.operator.field import Field
from itnet_core.operator.points import Points, gather_points
from itnet_core.operator.precision import precise
from itnet_core.plugin.errors import ConfigError


class QueryPoints(nn.Module, ABC):
    """Base class of query points other than the block's own input.

    Example:
        >>> class EverySecond(QueryPoints):
        ...     def forward(self, field, earlier):
        ...         return Field(field.values[:, ::2], field.positions[:, ::2])
        >>> EverySecond()(Field(torch.randn(1, 9, 3), torch.rand(1, 9, 2)), {})
        Field(B=1, N=5, d=3, p=2)
    """

    @abstractmethod
    def forward(self, field: Field, earlier: Mapping[int, Field]) -> Field:
        """Return the field at the query points, whose values the block adds its integral to.

        Args:
            field: the block's input, which it integrates over.
            earlier: outputs of earlier blocks by their number in the trunk; −1 for the trunk's input.
        """


class CoarserGrid(QueryPoints):
    """The cells of a coarser grid: the mean over each cell's points, by their weights; a cell has their mass.

    Coarse points lie in the middle of their cells. The last cell along an axis may hold fewer points.

    Example:
        >>> CoarserGrid(2)(Field.on_grid(torch.randn(1, 8, 6, 3)), {})
        Field(B=1, N=12, d=3, p=2, grid=(4, 3))

    Args:
        stride: points per cell along each axis of the grid, or one number for all axes.
        size: instead of a stride, cells along each axis, so that fields of any resolution get the same points. Sizes
            that do not divide the field's may give fewer cells.
        place: path of the block in the configuration, for errors.
    """

    def __init__(
        self,
        stride: int | Sequence[int] | None = None,
        *,
        size: int | Sequence[int] | None = None,
        place: str = "CoarserGrid(field)",
    ) -> None:
        super().__init__()
        if (stride is None) == (size is None):
            raise ConfigError(place, found=f"stride {stride} and size {size}", expected="one of the two")
        self.stride, self.size, self.place = stride, size, place

    def forward(self, field: Field, earlier: Mapping[int, Field]) -> Field:
        """Return the field of the cells.

        Raises:
            ConfigError: the field's points are not a grid of as many dimensions as `stride` or `size`.
        """
        grid, name = field.grid, "size" if self.stride is None else "stride"
        numbers = self.size if self.stride is None else self.stride
        if grid is None or (isinstance(numbers, Sequence) and len(numbers) != len(grid)):
            raise ConfigError(
                self.place,
                found="points without a grid" if grid is None else f"a grid of {len(grid)} dimensions",
                expected=f"a grid, for {name} {numbers}",
                hint="For scattered points, choose farthest points: query: {farthest: 64}.",
            )
        strides = tuple(numbers) if isinstance(numbers, Sequence) else (numbers or 1,) * len(grid)
        if self.stride is None:
            strides = tuple(-(-points // cells) for points, cells in zip(grid, strides, strict=True))
        weights, values = precise(field.weights), precise(field.without_padding().values)
        weights = (weights / weights.detach().amax(-1, keepdim=True)).unsqueeze(-1)
        mass = _cell_sums(weights, grid, strides)
        means = _cell_sums(values * weights, grid, strides) / torch.where(mass > 0, mass, 1.0)
        return field.points.cached(_coarser, strides).with_values(means.to(field.values.dtype))


class FarthestPoints(QueryPoints):
    """Points that cover the field (`farthest_points`), each with its value and the mass of the points nearest to it.

    Example:
        >>> FarthestPoints(4)(Field(torch.randn(1, 9, 3), torch.rand(1, 9, 2)), {})
        Field(B=1, N=4, d=3, p=2)

    Args:
        count: number of points; a field of at most this many points stays unchanged.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, field: Field, earlier: Mapping[int, Field]) -> Field:
        """Return the field at the chosen points."""
        if field.values.shape[1] <= self.count:
            return field
        chosen, points = field.points.cached(_farthest, self.count)
        return points.with_values(gather_points(field.values, chosen))


class Latents(QueryPoints):
    """A fixed number of points with learned values, as in the Perceiver (arXiv 2103.03206).

    They spread evenly over the bounding box of each sample's points and share its mass.

    Example:
        >>> Latents(4, 3)(Field(torch.randn(1, 9, 3), torch.rand(1, 9, 2)), {})
        Field(B=1, N=4, d=3, p=2)

    Args:
        count: number of points.
        dim: channels.
    """

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.values = nn.Parameter(0.02 * torch.randn(count, dim))

    def forward(self, field: Field, earlier: Mapping[int, Field]) -> Field:
        """Return the field of the learned values."""
        points = field.points.cached(_spread, len(self.values))
        return points.with_values(self.values.expand(field.values.shape[0], -1, -1))


class EarlierPoints(QueryPoints):
    """The output of an earlier block, as for U-shaped trunks from fields to fields.

    Example:
        >>> earlier = Field(torch.randn(1, 9, 3), torch.rand(1, 9, 2))
        >>> EarlierPoints(0)(Field(torch.randn(1, 4, 3), torch.rand(1, 4, 2)), {0: earlier}) is earlier
        True

    Args:
        block: number of the block in the trunk; −1 for the trunk's input.
    """

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, field: Field, earlier: Mapping[int, Field]) -> Field:
        """Return the earlier block's output."""
        return earlier[self.block]


def _coarser(points: Points, strides: tuple[int, ...]) -> Field:
    """Return the field of a coarser grid's cells, without channels."""
    grid, positions = points.grid, points.positions
    assert grid is not None
    weights = _cell_sums(points.weights.unsqueeze(-1), grid, strides).squeeze(-1)
    positions = torch.unflatten(precise(positions), 1, grid)
    for axis, (size, stride) in enumerate(zip(grid, strides, strict=True), start=1):
        # Cells that are cut off at the end lie where whole ones would, so that the grid stays regular.
        step = positions.narrow(axis, size - 1, 1) - positions.narrow(axis, max(0, size - 2), 1)
        number = torch.arange(size + -size % stride, device=positions.device)
        inside = number.clamp(max=size - 1)
        beyond = (number - inside).to(positions.dtype).view(-1, *[1] * (positions.ndim - axis - 1))
        positions = positions.index_select(axis, inside) + step * beyond
        positions = torch.unflatten(positions, axis, (-1, stride)).mean(axis + 1)
    sizes = positions.shape[1:-1]
    positions = positions.flatten(1, -2).to(points.positions.dtype)
    return Field(positions[..., :0], positions, weights, tuple(sizes))


def _cell_sums(tensor: Tensor, grid: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
    """Sum a tensor (B, N, d) over the cells of a grid, (B, cells, d)."""
    tensor = torch.unflatten(tensor, 1, grid)
    beyond = [extra for size, stride in zip(grid, strides, strict=True) for extra in (-size % stride, 0)]
    tensor = F.pad(tensor, [0, 0, *reversed(beyond)])
    for axis, stride in enumerate(strides, start=1):
        tensor = torch.unflatten(tensor, axis, (-1, stride)).sum(axis + 1)
    return tensor.flatten(1, -2)


def _farthest(points: Points, count: int) -> tuple[Tensor, Field]:
    """Return the indices of farthest points, (B, count), and their field, without channels."""
    positions, present = points.positions.detach(), points.weights > 0
    chosen = farthest_points(positions, present, count)
    owner, _ = nearest_points(positions, gather_points(positions, chosen), torch.ones_like(chosen, dtype=torch.bool), 1)
    weights = torch.zeros_like(points.weights[:, :count]).scatter_add(1, owner.squeeze(-1), points.weights)
    positions = gather_points(points.positions, chosen)
    return chosen, Field(positions[..., :0], positions, weights)


def _spread(points: Points, count: int) -> Field:
    """Return a field of points spread over the bounding box of each sample, without channels."""
    positions = points.positions
    padding = (points.weights == 0).unsqueeze(-1)
    low = positions.masked_fill(padding, torch.inf).amin(1, keepdim=True)
    high = positions.masked_fill(padding, -torch.inf).amax(1, keepdim=True)
    ratio, coordinates = 2.0, positions.shape[-1]
    for _ in range(64):  # the generalised golden ratio, φ^(p+1) = φ + 1 (M. Roberts, 2018)
        ratio = (1 + ratio) ** (1 / (coordinates + 1))
    steps = torch.tensor([ratio**-axis for axis in range(1, coordinates + 1)], dtype=torch.float64)
    unit = (0.5 + torch.arange(count, dtype=torch.float64).unsqueeze(1) * steps) % 1
    spread = low + (high - low) * unit.to(positions)
    weights = (points.weights.sum(-1, keepdim=True) / count).expand(-1, count)
    return Field(spread[..., :0], spread, weights)
