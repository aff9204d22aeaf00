"""A field: a function known at points, with the weights that discretise its measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import register_pytree_node

from itnet_core.operator.remembered import remembered
from itnet_core.operator.transforms import under_functorch
from itnet_core.plugin.errors import FieldError

AXES = "txyz"
"""The space-time that all modalities share: text and audio use t, images x and y, point clouds x, y and z."""

Measure = Literal["mean", "counting", "given"]
UnionMeasure = Literal["balanced", "mean", "counting", "given"]


@dataclass(frozen=True, eq=False)
class Field:
    """A function u : Ω → R^d known at N points (OPERATOR §1).

    The weights discretise the measure μ: ∫ g dμ ≈ Σ_j w_j g(x_j). A point of weight 0 is padding: it never changes any
    other point's result. What is known of positions and weights is remembered with these tensors: they may be written
    to in place, but not past torch, as by NumPy or `.data`.

    Attributes:
        values: u_i, shape (B, N, d), floating.
        positions: x_i, shape (B, N, p), floating, of finite squares. Encoders of models use p = 4, the axes of `AXES`.
        weights: w_i ≥ 0, shape (B, N), with some mass in every sample; by default the mean measure, 1/N each.
        grid: the sizes of a row-major grid with N points, if the points are one. A kernel that has a faster algorithm
            for regular grids looks at all positions once, and takes another way where they are not evenly spaced.
        sampled_from: the field that this one stands for, where a sampler made it of fewer points. A kernel that takes a
            length or an origin from its points takes them from there: a sampler changes the quadrature, not the kernel.

    Raises:
        FieldError: a tensor has another rank, shape or dtype, a position is not finite or has no finite square, a
            weight is negative or not finite, or a sample has no mass.
    """

    values: Tensor
    positions: Tensor
    weights: Tensor = None  # type: ignore[assignment]  # replaced by the mean measure in __post_init__
    grid: tuple[int, ...] | None = None
    sampled_from: Field | None = None

    def __post_init__(self) -> None:
        _check_shapes(self)
        if self.weights is None:
            batch, points, _ = self.values.shape
            weights = self.positions.new_full((batch, points), 1.0 / points)
            object.__setattr__(self, "weights", weights)
        else:
            _check_weights_shape(self)
        if _readable():
            _check_numbers(self)

    @classmethod
    def on_grid(
        cls,
        values: Tensor,
        *,
        axes: str | None = None,
        bounds: Sequence[tuple[float, float]] | None = None,
        measure: Measure = "mean",
        weights: Tensor | None = None,
    ) -> Field:
        """Return the field of a regular grid's cell centres.

        Args:
            values: shape (B, *grid, d).
            axes: the axis of `AXES` that each grid dimension runs along, `"yx"` for an image's rows and columns; the
                positions then lie in R^4. By default they lie in R^n, one coordinate a grid dimension.
            bounds: the interval that each grid dimension covers; [−1, 1] by default. Cell centres lie half a cell
                inside, so the same interval at twice the resolution is the same domain.
            measure: `mean` (weights sum to 1) or `counting` (1 each).
            weights: of the cells, shape (B, N), in the measure's place.

        Raises:
            FieldError: `values` has no grid dimension, or `axes` or `bounds` do not match them.
        """
        if values.ndim < 3:
            raise FieldError("Field.on_grid(values)", found=f"shape {tuple(values.shape)}", expected="(B, *grid, d)")
        batch, *grid, dim = values.shape
        bounds = [(-1.0, 1.0)] * len(grid) if bounds is None else bounds
        if len(bounds) != len(grid):
            raise FieldError(
                "Field.on_grid(bounds)", found=f"{len(bounds)} intervals", expected=f"one for each of {len(grid)} axes"
            )
        if axes is not None and (len(axes) != len(grid) or len(set(axes)) < len(axes) or not set(axes) <= set(AXES)):
            raise FieldError(
                "Field.on_grid(axes)", found=repr(axes), expected=f"{len(grid)} different letters of {AXES}"
            )
        dtype = torch.promote_types(values.dtype, torch.float32)  # half precision would blur neighbouring points
        positions = grid_positions(grid, bounds, dtype=dtype, device=values.device)
        if axes is not None:
            space_time = positions.new_zeros(positions.shape[0], len(AXES))
            space_time[:, [AXES.index(axis) for axis in axes]] = positions
            positions = space_time
        positions = positions.expand(batch, -1, -1)
        values = values.reshape(batch, prod(grid), dim)
        if weights is not None:
            return cls(values, positions, weights, grid=tuple(grid))
        return cls(values, positions, grid=tuple(grid)).with_measure(measure)

    @property
    def mask(self) -> Tensor:
        """Which points are there (weight > 0), shape (B, N)."""
        return self.weights > 0

    @property
    def dim(self) -> int:
        """The number of channels d."""
        return self.values.shape[-1]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.values.device

    def with_values(self, values: Tensor) -> Field:
        """Return the field with other values of shape (B, N, d') at the same points."""
        if values.shape[:-1] != self.values.shape[:-1]:
            raise FieldError(
                "Field.with_values(values)",
                found=f"shape {tuple(values.shape)}",
                expected=f"({', '.join(map(str, self.values.shape[:-1]))}, d) as for the field's points",
            )
        return _unchecked(values, self.positions, self.weights, grid=self.grid)

    def map(self, function: Callable[[Tensor], Tensor]) -> Field:
        """Return the field of `function(values)`, applied point by point."""
        return self.with_values(function(self.values))

    def without_padding(self) -> Field:
        """Return the field with 0 for the values of padding, whatever (NaN too) stands there."""
        if _readable() and _all_there(self.weights):  # spare the copy
            return self
        return self.map(lambda values: values.masked_fill(~self.mask.unsqueeze(-1), 0.0))

    def standing_for(self, field: Field) -> Field:
        """Return the field as one that a sampler made of another."""
        return _unchecked(self.values, self.positions, self.weights, grid=self.grid, sampled_from=field)

    def with_measure(self, measure: Measure) -> Field:
        """Return the field under another measure: `mean` (1/n each), `counting` (1 each); padding keeps weight 0."""
        if measure == "given":
            return self
        if measure not in ("mean", "counting"):
            raise FieldError("Field.with_measure", found=repr(measure), expected="'mean', 'counting' or 'given'")
        return _unchecked(self.values, self.positions, _measured(self.weights, measure), grid=self.grid)

    def to(self, *args: Any, **kwargs: Any) -> Field:
        """Return the field on another device or in another floating dtype; arguments as for `torch.Tensor.to`.

        Raises:
            FieldError: its positions or its mass are beyond the range of that dtype.
        """
        values, positions, weights = (t.to(*args, **kwargs) for t in (self.values, self.positions, self.weights))
        field = _unchecked(values, positions, weights, grid=self.grid)
        if (positions.dtype, weights.dtype) != (self.positions.dtype, self.weights.dtype) and _readable():
            _check_numbers(field)
        return field


def grid_positions(
    grid: Sequence[int],
    bounds: Sequence[tuple[float, float]],
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """Return the cell centres of a row-major grid that covers `bounds`, shape (N, len(grid))."""
    centres = [
        low + (high - low) * (torch.arange(size, dtype=dtype, device=device) + 0.5) / size
        for size, (low, high) in zip(grid, bounds, strict=True)
    ]
    return torch.stack(torch.meshgrid(*centres, indexing="ij"), dim=-1).flatten(0, -2)


def union(fields: Sequence[Field], measure: UnionMeasure = "balanced") -> Field:
    """Return the union of fields as one field over all their points.

    Args:
        fields: M fields of equal batch, channels and position coordinates.
        measure: `balanced` gives each field the mass 1/M in each sample, whatever its number of points; `mean` and
            `counting` look at points alone; `given` keeps the weights.

    Raises:
        FieldError: no field, fields that differ in batch, channels or coordinates, or an unknown measure.
    """
    if not fields:
        raise FieldError("union(fields)", found="no field", expected="at least one")
    shapes = {(field.values.shape[0], field.dim, field.positions.shape[-1]) for field in fields}
    if len(shapes) > 1:
        raise FieldError(
            "union(fields)",
            found=f"(batch, channels, coordinates) {sorted(shapes)}",
            expected="the same for all fields",
        )
    weights = [field.weights for field in fields]
    if measure == "balanced":
        weights = [w / (w.sum(-1, keepdim=True) * len(fields)) for w in weights]
    joined = _unchecked(
        torch.cat([field.values for field in fields], dim=1),
        torch.cat([field.positions for field in fields], dim=1),
        torch.cat(weights, dim=1),
        grid=None,
    )
    return joined if measure == "balanced" else joined.with_measure(measure)


def _unchecked(
    values: Any, positions: Any, weights: Any, *, grid: tuple[int, ...] | None, sampled_from: Field | None = None
) -> Field:
    """Build a field from parts that are known to fit."""
    field = object.__new__(Field)
    parts = {"values": values, "positions": positions, "weights": weights, "grid": grid, "sampled_from": sampled_from}
    for name, part in parts.items():
        object.__setattr__(field, name, part)
    return field


def _check_shapes(field: Field) -> None:
    for name, tensor in (("values", field.values), ("positions", field.positions)):
        if not isinstance(tensor, Tensor) or tensor.ndim != 3 or not tensor.is_floating_point():
            found = f"{tensor.dtype} of shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else repr(tensor)
            raise FieldError(f"Field.{name}", found=found, expected="a floating tensor of shape (B, N, channels)")
    if 0 in field.values.shape[:2]:
        raise FieldError("Field.values", found=f"shape {tuple(field.values.shape)}", expected="at least one point")
    if field.positions.shape[:2] != field.values.shape[:2]:
        raise FieldError(
            "Field.positions",
            found=f"shape {tuple(field.positions.shape)}",
            expected=f"(B, N, p) with the (B, N) of values, {tuple(field.values.shape[:2])}",
        )
    if field.grid is not None and prod(field.grid) != field.values.shape[1]:
        raise FieldError(
            "Field.grid", found=f"{field.grid}, which is {prod(field.grid)} points", expected=f"{field.values.shape[1]}"
        )


def _check_weights_shape(field: Field) -> None:
    weights = field.weights
    if not isinstance(weights, Tensor) or not weights.is_floating_point() or weights.shape != field.values.shape[:2]:
        found = f"{weights.dtype} of shape {tuple(weights.shape)}" if isinstance(weights, Tensor) else repr(weights)
        raise FieldError("Field.weights", found=found, expected=f"floating, of shape {tuple(field.values.shape[:2])}")


def _check_numbers(field: Field) -> None:
    """Look at all numbers at once, and for the place only where something is wrong."""
    positions, weights = distinct(field.positions), distinct(field.weights)
    mass = weights.sum(-1)
    largest = torch.finfo(torch.promote_types(positions.dtype, torch.float32)).max ** 0.5 / 16
    largest = min(largest, torch.finfo(positions.dtype).max)
    if (positions.abs() <= largest).all() and weights.amin() >= 0 and ((mass > 0) & mass.isfinite()).all():
        return
    bad = ~field.positions.isfinite().all(-1)
    if bad.any():
        raise FieldError(
            "Field.positions",
            found=f"{int(bad.sum())} points that are not finite, the first at {_first(bad)}",
            expected="finite numbers, for padding too",
        )
    bad = (field.positions.abs() > largest).any(-1)
    if bad.any():
        raise FieldError(
            "Field.positions",
            found=f"{int(bad.sum())} points farther than {largest:.1e} from 0, the first at {_first(bad)}",
            expected=f"distances with a square in the range of {field.positions.dtype}, for padding too",
            hint="Measure positions in another unit.",
        )
    bad = ~(field.weights.isfinite() & (field.weights >= 0))
    if bad.any():
        raise FieldError(
            "Field.weights",
            found=f"{int(bad.sum())} weights that are negative or not finite, the first at {_first(bad)}",
            expected="weights >= 0",
        )
    bad = ~field.mask.any(-1)
    if bad.any():
        raise FieldError(
            "Field.weights",
            found=f"no mass in sample {_first(bad)[0]}",
            expected="some weight > 0 in every sample",
            hint="Drop empty samples before they are batched.",
        )


def _readable() -> bool:
    """Whether numbers may be looked at: it would break a compiled graph, and vmap hides them."""
    return not (torch.compiler.is_compiling() or under_functorch())


@remembered
def _all_there(weights: Tensor) -> bool:
    return bool((distinct(weights) > 0).all())


@remembered
def _measured(weights: Tensor, measure: Measure) -> Tensor:
    there = (distinct(weights) > 0).to(weights.dtype)
    if measure == "mean":
        there = there / there.sum(-1, keepdim=True)
    return there.expand_as(weights)


def log_weights(weights: Tensor) -> Tensor:
    """Return log w in float32 at least, −∞ for padding, to which no gradient goes: softmax adds it to its logits."""
    there = weights > 0
    precise = weights.to(torch.promote_types(weights.dtype, torch.float32))
    return torch.where(there, torch.where(there, precise, 1.0).log(), -torch.inf)


def distinct(tensor: Tensor) -> Tensor:
    """Return (1, …) of a tensor (B, …) whose samples are one in memory, as `expand` leaves them; else the tensor."""
    return tensor[:1] if tensor.stride(0) == 0 else tensor


def _first(bad: Tensor) -> tuple[int, ...]:
    return tuple(bad.nonzero()[0].tolist())


register_pytree_node(
    Field,
    lambda field: ([field.values, field.positions, field.weights], field.grid),
    lambda leaves, grid: _unchecked(*list(leaves), grid=grid),
    serialized_type_name="itnet_core.operator.field.Field",
)
