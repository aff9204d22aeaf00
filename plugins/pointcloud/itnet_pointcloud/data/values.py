"""Take a user's point cloud in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from itnet_core import DataError
from itnet_pointcloud.points import Cloud
from itnet_tasks import as_array, unreadable
from itnet_tasks.values import PLACE


def cloud_of(value: Any, *, normals: bool) -> Cloud:
    """Return the cloud of a user's points.

    Example:
        >>> cloud_of(np.random.rand(100, 3), normals=False).positions.shape
        torch.Size([100, 3])

    Args:
        value: points (N, 3), or with their normals (N, 6); or a mapping of `points` and, for normals, `normals`.
        normals: require normals, as features; otherwise they are ignored.

    Raises:
        DataError: it is another value, or a number is not finite in float32.
    """
    expected = "points (N, 6) with their normals" if normals else "points (N, 3)"
    if isinstance(value, Mapping):
        if "points" not in value or (normals and "normals" not in value):
            raise unreadable(value, f"points{' and normals' if normals else ''}, each (N, 3)")
        names = ("points", "normals") if normals else ("points",)
        parts = [as_array(value[name], f"{name} (N, 3)", ndim=(2,)) for name in names]
        if len({len(part) for part in parts}) > 1:
            raise DataError(PLACE, found=f"{len(parts[0])} points, {len(parts[1])} normals", expected="as many of both")
        value = np.concatenate(parts, axis=1)
    table = as_array(value, expected, ndim=(2,))
    if table.shape[1] not in ((6,) if normals else (3, 6)):
        raise DataError(PLACE, found=f"an array of shape {table.shape}", expected=expected)
    if not (np.abs(table) <= np.finfo(np.float32).max).all():
        raise DataError(PLACE, found="numbers that are NaN or infinite in float32", expected="finite numbers")
    centred = table[:, :3] - (table[:, :3].min(0) + table[:, :3].max(0)) / 2  # float32 would blur what is far from 0
    return Cloud(_tensor(centred), _tensor(table[:, 3:] if normals else table[:, :0]))


def _tensor(array: Any) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32)
