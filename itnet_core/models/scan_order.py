"""Scan orders: distinct times for the points of an image or a point cloud, for kernels that follow an axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from itnet_core.models.z_order import along_curve
from itnet_core.operator.field import AXES, Field
from itnet_core.operator.field_checks import readable
from itnet_core.operator.points import gather_points
from itnet_core.operator.precision import precise

Scan = Literal["none", "raster", "z-order"]

STEP = 1 / 8
"""Time between points that all lie at one time, as from token to token in a text."""

_RASTER = [AXES.index(axis) for axis in "xyzt"]


class ScanOrder:
    """Orders points along an axis, as vision and point-cloud state-space models do (arXiv 2401.09417, 2402.10739).

    Points at different times keep their times and order. Points at one time, such as all points of an image, are
    ordered in space and spread evenly over the time until the next ones, or at steps of `STEP` if these are the last.
    Points at the same position in R^4 keep the order of the field.

    Args:
        axis: the coordinate of time.
        order: the order of points at one time: `raster` by their other coordinates, row by row on an image; `z-order`
            along a Z-order curve (`itnet_core.models.z_order`), which keeps neighbours in space together.
    """

    def __init__(self, axis: int, order: Scan) -> None:
        self.axis, self.order = axis, order

    def __call__(self, field: Field, function: Callable[[Field], Field]) -> Field:
        """Apply `function` to the field in scan order, and return the result at the field's own points.

        Args:
            field: a field with positions in R^4.
            function: a function from a field to a field at the same points.
        """
        order = self._order(field)
        positions = precise(field.positions)
        shift = torch.zeros_like(positions)
        shift[..., self.axis] = self._shift(field, order).to(shift.dtype)
        parts = (field.values, positions + shift, field.weights)
        if readable() and torch.equal(order, torch.arange(order.shape[1], device=order.device).expand_as(order)):
            return field.with_values(function(Field(*parts, field.grid)).values)
        values, positions, weights = (gather_points(part, order) for part in parts)
        scanned = Field(values, positions, weights)
        return field.with_values(gather_points(function(scanned).values, _inverse(order)))

    @torch.no_grad()
    def _order(self, field: Field) -> Tensor:
        """Return the indices of the points in their order, (B, N), padding last."""
        present = field.mask
        first = present.int().argmax(-1, keepdim=True)
        # Positions of padding must not matter: padding moves to the first point.
        positions = field.positions.where(present.unsqueeze(-1), gather_points(field.positions, first))
        others = [axis for axis in _RASTER if axis != self.axis]
        order = torch.arange(present.shape[1], device=field.device).expand(present.shape)
        for axis in others:  # the most significant last
            order = _sorted(order, positions[..., axis])
        if self.order == "z-order":
            order = order.gather(1, along_curve(gather_points(positions[..., others], order)))
        return _sorted(order, positions[..., self.axis].masked_fill(~present, torch.inf))

    @torch.no_grad()
    def _shift(self, field: Field, order: Tensor) -> Tensor:
        """Return the shifts of the points' times, (B, N), in the order of the field."""
        present, own = field.mask.gather(1, order), field.positions[..., self.axis].double().gather(1, order)
        time = own.masked_fill(~present, torch.inf)
        index, count = torch.arange(order.shape[1], device=order.device), present.sum(-1, keepdim=True)
        if torch.compiler.is_exporting():  # ONNX has no search
            start = (time.unsqueeze(1) < time.unsqueeze(2)).sum(-1)
            end = (time.unsqueeze(1) <= time.unsqueeze(2)).sum(-1)
        else:
            start, end = torch.searchsorted(time, time), torch.searchsorted(time, time, right=True)
        times = ((start == index) & present).sum(-1, keepdim=True)
        first, last = time[:, :1], time.gather(1, count - 1)
        usual = ((last - first) / (times - 1)).where(times > 1, STEP * count)  # from one time to the next
        following = torch.cat([time, torch.full_like(first, torch.inf)], dim=1).gather(1, end)
        gap = (following - time).where(following.isfinite(), usual)
        spread = (index - start) / (end - start) * gap
        behind = last + usual + STEP * (index - count + 1)
        return torch.where(present, spread, behind - own).gather(1, _inverse(order))


def _sorted(order: Tensor, key: Tensor) -> Tensor:
    return order.gather(1, _stable_argsort(key.gather(1, order)))


def _stable_argsort(key: Tensor) -> Tensor:
    if not torch.compiler.is_exporting():
        return key.argsort(dim=-1, stable=True)
    # ONNX has no stable sort. The rank of a point is the number of points before it.
    index = torch.arange(key.shape[1], device=key.device)
    own, other = key.unsqueeze(2), key.unsqueeze(1)
    return _inverse(((other < own) | ((other == own) & (index < index.unsqueeze(1)))).sum(-1))


def _inverse(order: Tensor) -> Tensor:
    index = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.zeros_like(order).scatter(1, order, index)
