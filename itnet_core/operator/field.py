"""A field: a function known at points, with the weights that discretise its measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import GetAttrKey, KeyEntry, register_pytree_node

from itnet_core.operator.cells import cell_centres, lattice_of, shares_inside
from itnet_core.operator.field_checks import check_edges, check_numbers, check_shapes, check_whole, readable
from itnet_core.operator.point_tensors import (
    converted,
    flatten_points,
    names_of_tensors,
    unflatten_points,
    with_added,
)
from itnet_core.operator.points import Edges, Measure, Points, check_measure, shard_of
from itnet_core.operator.transforms import tracing
from itnet_core.plugin.errors import FieldError

AXES = "txyz"
"""The space-time that all modalities share: text and audio use t, images x and y, point clouds x, y and z."""


class Field:
    """A function u: Ω → R^d known at N points.

    The weights discretise the measure μ: ∫ g dμ ≈ Σ_j w_j g(x_j). A point of weight 0 is padding: it never changes any
    other point's result.

    Example:
        >>> field = Field(values=torch.randn(2, 5, 3), positions=torch.rand(2, 5, 1))
        >>> field.weights[0]
        tensor([0.2000, 0.2000, 0.2000, 0.2000, 0.2000])

    Args:
        values: u_i, shape (B, N, d), floating.
        positions: x_i, shape (B, N, p), floating, with finite squares. Encoders of models use p = 4, see `AXES`.
        weights: w_i ≥ 0, shape (B, N), with some mass in every sample; the mean measure, 1/N each, by default.
        grid: the sizes of a row-major grid of N points, if the points form one. Kernels with a faster algorithm for
            regular grids check once that the points are evenly spaced.

    Attributes:
        values: u_i, shape (B, N, d).
        points: positions, weights and grid, which fields along a trunk share.
        sampled_from: the field that this one represents, where a sampler reduced it to fewer points. A kernel that
            takes a length or an origin from its points takes them from that field.

    Raises:
        FieldError: a tensor has another rank, shape or dtype; a position is not finite or has no finite square; a
            weight is negative or not finite; or a sample has no mass.
    """

    values: Tensor
    points: Points
    sampled_from: Field | None

    def __init__(
        self, values: Tensor, positions: Tensor, weights: Tensor | None = None, grid: tuple[int, ...] | None = None
    ) -> None:
        check_shapes(values, positions, weights, grid)
        if weights is None:
            weights = positions.new_full(values.shape[:2], 1.0 / values.shape[1])
        if readable():
            check_numbers(positions, weights)
        _fill(self, values, Points(positions, weights, grid))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Field is immutable: use with_values or replace({name}=...)")

    def __repr__(self) -> str:
        batch, points, dim = self.values.shape
        grid = f", grid={self.grid}" if self.grid else ""
        return f"Field(B={batch}, N={points}, d={dim}, p={self.positions.shape[-1]}{grid})"

    @classmethod
    def on_grid(
        cls,
        values: Tensor,
        *,
        axes: str | None = None,
        bounds: Sequence[tuple[float, float]] | None = None,
        measure: Measure = "mean",
        weights: Tensor | None = None,
        inside: Sequence[float] | None = None,
    ) -> Field:
        """Return a field at the cell centres of a regular grid.

        Fields on equal grids share their `Points`, and whatever these have cached.

        Example:
            >>> image = torch.rand(2, 4, 6, 3)
            >>> Field.on_grid(image, axes="yx").positions.shape
            torch.Size([2, 24, 4])

        Args:
            values: shape (B, *grid, d).
            axes: the axis of `AXES` that each grid dimension runs along, `"yx"` for the rows and columns of an image;
                positions then lie in R^4. By default they lie in R^n, one coordinate per grid dimension.
            bounds: the interval that each grid dimension covers; [−1, 1] by default. Cell centres lie half a cell
                inside, so the same interval at twice the resolution is the same domain.
            measure: `mean` (weights sum to 1) or `counting` (1 each).
            weights: of the cells, shape (B, N), instead of a measure.
            inside: without weights, the length of the domain along each grid dimension, in cells; all of them by
                default. A cell that extends beyond the domain has the weight of the part inside it.

        Raises:
            FieldError: `values` has no grid dimension, or `axes`, `bounds` or `inside` do not match them.
        """
        if values.ndim < 3:
            raise FieldError("Field.on_grid(values)", found=f"shape {tuple(values.shape)}", expected="(B, *grid, d)")
        batch, *grid, dim = values.shape
        bounds = [(-1.0, 1.0)] * len(grid) if bounds is None else bounds
        for name, what, given in (("bounds", "intervals", bounds), ("inside", "lengths", inside)):
            if given is not None and len(given) != len(grid):
                found, expected = f"{len(given)} {what}", f"one for each of {len(grid)} axes"
                raise FieldError(f"Field.on_grid({name})", found=found, expected=expected)
        if axes is not None and (len(axes) != len(grid) or len(set(axes)) < len(axes) or not set(axes) <= set(AXES)):
            raise FieldError(
                "Field.on_grid(axes)", found=repr(axes), expected=f"{len(grid)} different letters of {AXES}"
            )
        dtype = torch.promote_types(values.dtype, torch.float32)  # half precision would blur neighbouring points
        flat = values.reshape(batch, prod(grid), dim)
        inside = None if inside is None else tuple(inside)
        cells: Any = tuple(grid), tuple(map(tuple, bounds)), axes, inside, measure, dtype
        if weights is not None or tracing() or type(values) not in (Tensor, nn.Parameter):
            return _grid_field(flat, weights, *cells)
        points = _shared_grid_points(batch, values.device, *cells)
        check_shapes(flat, points.positions, points.weights, tuple(grid))
        return field_of(flat, points)

    @property
    def positions(self) -> Tensor:
        """x_i, shape (B, N, p)."""
        return self.points.positions

    @property
    def weights(self) -> Tensor:
        """w_i, shape (B, N)."""
        return self.points.weights

    @property
    def grid(self) -> tuple[int, ...] | None:
        """Sizes of the row-major grid of N points, if they form one."""
        return self.points.grid

    @property
    def mask(self) -> Tensor:
        """Mask of the points that are not padding, bool, (B, N)."""
        return self.weights > 0

    @property
    def dim(self) -> int:
        """The number of channels d."""
        return self.values.shape[-1]

    @property
    def device(self) -> torch.device:
        """The device of the values."""
        return self.values.device

    def with_values(self, values: Tensor) -> Field:
        """Return the field with other values, of shape (B, N, d'), at the same points.

        Raises:
            FieldError: `values` has another number of samples or points.
        """
        if values.shape[:-1] != self.values.shape[:-1]:
            raise FieldError(
                "Field.with_values(values)",
                found=f"shape {tuple(values.shape)}",
                expected=f"({', '.join(map(str, self.values.shape[:-1]))}, d) as for the field's points",
            )
        return field_of(values, self.points)

    def replace(
        self, *, values: Tensor | None = None, positions: Tensor | None = None, weights: Tensor | None = None
    ) -> Field:
        """Return the field with other tensors, checked like those of a new field; the points keep what was added.

        Raises:
            FieldError: as for a new field, or as for `with_edges`.
        """
        check_whole(self.points, "Field.replace")
        field = Field(
            self.values if values is None else values,
            self.positions if positions is None else positions,
            self.weights if weights is None else weights,
            self.grid,
        )
        if field.positions.shape[1] == self.positions.shape[1]:
            points = Points(field.positions, field.weights, field.grid, parts=self.points.parts)
            field = field_of(field.values, points)
        field = field if self.points.edges is None else field.with_edges(self.points.edges)
        return field.with_attributes(**self.points.attributes) if self.points.attributes else field

    def with_edges(self, edges: Edges | None) -> Field:
        """Return the field with these edges between its points, for kernels that sum over edges.

        Raises:
            FieldError: the edges are not of the field's points, or a weight is negative or not finite.
        """
        if edges is not None:
            check_edges(*edges, self.values.shape[0], self.values.shape[1])
        check_whole(self.points, "Field.with_edges")
        return field_of(self.values, with_added(self.points, edges, self.points.attributes))

    def with_attributes(self, **attributes: Tensor) -> Field:
        """Return the field whose points have these attributes too, for kernels that read them (`Kernel.reads`).

        Example:
            >>> field = Field(torch.randn(1, 3, 8), torch.rand(1, 3, 4))
            >>> field.with_attributes(normal=torch.randn(1, 3, 3)).map(torch.relu).points.attribute("normal").shape
            torch.Size([1, 3, 3])

        Args:
            attributes: tensors of shape (B, N, …) by their names.

        Raises:
            FieldError: a tensor has another shape.
        """
        for name, tensor in attributes.items():
            if not isinstance(tensor, Tensor) or tensor.shape[:2] != self.values.shape[:2]:
                found = f"shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
                batch, points = self.values.shape[:2]
                raise FieldError(f"Field.attributes.{name}", found=found, expected=f"shape ({batch}, {points}, …)")
        check_whole(self.points, "Field.with_attributes")
        added = {**self.points.attributes, **attributes}
        return field_of(self.values, with_added(self.points, self.points.edges, added))

    def map(self, function: Callable[[Tensor], Tensor]) -> Field:
        """Return the field of `function(values)`, applied point by point."""
        return self.with_values(function(self.values))

    def without_padding(self) -> Field:
        """Return the field with the values of padding set to 0, even where they are NaN."""
        if readable() and not self.points.has_padding:  # spare the copy
            return self
        return self.map(lambda values: values.masked_fill(~self.mask.unsqueeze(-1), 0.0))

    def standing_for(self, field: Field) -> Field:
        """Return this field as a sample of `field`, which becomes its `sampled_from`."""
        return field_of(self.values, self.points, field)

    def with_measure(self, measure: Measure) -> Field:
        """Return the field under another measure: `mean` (1/n each) or `counting` (1 each); padding keeps weight 0.

        Raises:
            FieldError: the measure is unknown.
        """
        return self if measure == "given" else field_of(self.values, self.points.with_measure(measure))

    def shard(self, group: Any) -> Field:
        """Return this process's part of the field, whose points are dealt to the processes of a group.

        All processes call it with the same points. Operators apply to parts as they do to the whole field: the integral
        runs over the points of all processes.

        Example:
            ```python
            part = field.shard(torch.distributed.group.WORLD)
            out = operator(part).gather()  # as operator(field)
            ```

        Args:
            group: the processes, of `torch.distributed`.

        Raises:
            FieldError: `torch.compile` traces the call.
        """
        if torch.compiler.is_compiling():
            found, expected = "a call under torch.compile", "an eager one"
            raise FieldError("Field.shard", found=found, expected=expected)
        points = self.points.cached(shard_of, group)
        assert points.shards is not None
        return field_of(points.shards.share(self.values), points)

    def gather(self) -> Field:
        """Return the whole field, of which this one is the part of a process; a field of one process is whole.

        Gradients are sums over the processes, each of which may use the whole field for something else. So the mean of
        gradients over processes, as in data-parallel training, is the gradient of their mean loss.
        """
        shards = self.points.shards
        return self if shards is None else field_of(shards.gather(self.values), shards.whole)

    def to(self, *args: Any, **kwargs: Any) -> Field:
        """Return the field on another device or in another floating dtype; arguments as for `torch.Tensor.to`.

        Raises:
            FieldError: its positions or its mass exceed the range of that dtype.
        """
        check_whole(self.points, "Field.to")
        values, positions, weights = (t.to(*args, **kwargs) for t in (self.values, self.positions, self.weights))
        if (positions.dtype, weights.dtype) != (self.positions.dtype, self.weights.dtype) and readable():
            check_numbers(positions, weights)
        return field_of(values, converted(self.points, positions, weights, *args, **kwargs))


def _shared_grid_points(batch: int, device: torch.device, *cells: Any) -> Points:
    """Return the points of `_grid_field`, those of the last equal grid if nothing was written to them."""
    mixed = torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)
    points, versions = _recent_grid_points(batch, device, *cells, mixed=mixed)  # autocast may round what is cached
    if versions != points.versions:
        _recent_grid_points.cache_clear()
        return _shared_grid_points(batch, device, *cells)
    return points


@lru_cache(maxsize=16)
def _recent_grid_points(
    batch: int, device: torch.device, grid: tuple[int, ...], *cells: Any, mixed: bool
) -> tuple[Points, tuple[int, int]]:
    with torch.inference_mode(False):  # such tensors can be used outside of inference mode, too
        points = _grid_field(torch.empty(batch, prod(grid), 0, device=device), None, grid, *cells).points
    return points, points.versions


def _grid_field(
    values: Tensor,
    weights: Tensor | None,
    grid: tuple[int, ...],
    bounds: Sequence[tuple[float, float]],
    axes: str | None,
    inside: Sequence[float] | None,
    measure: Measure,
    dtype: torch.dtype,
) -> Field:
    """Return the field of values (B, N, d) at the cell centres of a grid, with weights or under a measure."""
    positions = cell_centres(grid, bounds, dtype=dtype, device=values.device)
    coordinates = range(len(grid)) if axes is None else [AXES.index(axis) for axis in axes]
    if axes is not None:
        space_time = positions.new_zeros(positions.shape[0], len(AXES))
        space_time[:, coordinates] = positions
        positions = space_time
    if weights is None and inside is not None:
        check_measure(measure)
        share = shares_inside(grid, inside, dtype=dtype, device=values.device)
        weights = (share / share.sum() if measure == "mean" else share).expand(values.shape[0], -1)
    field = Field(values, positions.expand(values.shape[0], -1, -1), weights, grid)
    lattice = lattice_of(grid, bounds, coordinates, positions.shape[-1])
    field = field_of(values, Points(field.positions, field.weights, field.grid, lattice))
    return field if weights is not None else field.with_measure(measure)


def field_of(values: Tensor, points: Points, sampled_from: Field | None = None) -> Field:
    """Build a field from parts that are known to fit."""
    field = object.__new__(Field)
    _fill(field, values, points, sampled_from)
    return field


def _fill(field: Field, values: Tensor, points: Points, sampled_from: Field | None = None) -> None:
    """Set a new field's attributes, in the one way that `torch.compile` of every version traces."""
    object.__setattr__(field, "values", values)
    object.__setattr__(field, "points", points)
    object.__setattr__(field, "sampled_from", sampled_from)


def _flatten(field: Field) -> tuple[list[Tensor], Any]:
    leaves, context = flatten_points(field.points)
    return [field.values, *leaves], context


def _unflatten(leaves: Any, context: Any) -> Field:
    values, *others = leaves
    return field_of(values, unflatten_points(others, context))


def _flatten_with_keys(field: Field) -> tuple[list[tuple[KeyEntry, Tensor]], Any]:
    leaves, context = _flatten(field)
    names = ["values", *names_of_tensors(field.points)]
    return [(GetAttrKey(name), leaf) for name, leaf in zip(names, leaves, strict=True)], context


register_pytree_node(
    Field,
    _flatten,
    _unflatten,
    serialized_type_name="itnet_core.Field",
    flatten_with_keys_fn=_flatten_with_keys,  # torch.export of PyTorch 2.7 needs it
)
