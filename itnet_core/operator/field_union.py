"""The union of fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from itnet_core.operator.field import Field, field_of
from itnet_core.operator.field_checks import check_whole
from itnet_core.operator.points import Points
from itnet_core.plugin.errors import FieldError

UnionMeasure = Literal["balanced", "mean", "counting", "given"]


def union(fields: Sequence[Field], measure: UnionMeasure = "balanced") -> Field:
    """Return the union of fields as one field over all their points.

    Example:
        >>> image, text = (Field(torch.rand(1, n, 8), torch.rand(1, n, 4)) for n in (6, 2))
        >>> union([image, text]).weights.sum(-1)
        tensor([1.])

    Args:
        fields: M fields of equal batch, channels and position coordinates.
        measure: `balanced` gives each field the mass 1/M in each sample, whatever its number of points; `mean` and
            `counting` weigh all points alike; `given` keeps the weights.

    Raises:
        FieldError: no field; fields that differ in batch, channels or coordinates; or an unknown measure.
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
    for field in fields:
        check_whole(field.points, "union(fields)")
    positions = torch.cat([field.positions for field in fields], dim=1)
    points = Points(positions, torch.cat(weights, dim=1), parts=tuple(field.values.shape[1] for field in fields))
    joined = field_of(torch.cat([field.values for field in fields], dim=1), points)
    return joined if measure == "balanced" else joined.with_measure(measure)
