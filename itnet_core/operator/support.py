"""Supports: the pairs (x, y) that the integral runs over."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import AfterValidator, NonNegativeFloat, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor

from itnet_core.operator.field import AXES
from itnet_core.plugin.config import ComponentConfig
from itnet_core.plugin.errors import ConfigError


def _known(axis: str | int) -> str | int:
    if not (axis >= 0 if isinstance(axis, int) else len(axis) == 1 and axis in AXES):
        raise PydanticCustomError("axis", "a letter of {axes}, or a coordinate's number", {"axes": AXES})
    return axis


Axis = Annotated[str | int, AfterValidator(_known)]
"""An axis in a `Config`: a letter of `AXES` for positions in R^4, or the number of a coordinate."""


class Support(ComponentConfig):
    """Domain of integration: the pairs (x, y) that meet all conditions, by default every pair.

    With a sharp boundary a point has all of its weight or none, which costs an order of convergence: the boundary cuts
    cells. With an edge of about the distance between neighbours, a cell counts with its share inside, and the sum
    converges with the second order of the midpoint rule again (docs/supports.md). The evaluators `dense`, `tiled` and
    `local`, which call a kernel's `tile`, support edges; most faster algorithms do not.

    Example:
        >>> times = torch.tensor([[[0.0], [1.0], [2.0]]])
        >>> Support(causal=0, radius=1.0).mask(times, times)[0].int()
        tensor([[1, 0, 0],
                [1, 1, 0],
                [0, 1, 1]], dtype=torch.int32)
    """

    causal: Axis | None = None
    """Only y at or before x on this axis: a letter of `AXES` for positions in R^4, or the number of a coordinate."""
    radius: NonNegativeFloat | None = None
    """Only y with ‖x − y‖ ≤ radius."""
    window: NonNegativeFloat | None = None
    """Only y with |x − y| ≤ window in every coordinate."""
    edge: NonNegativeFloat = 0.0
    """Width of a soft boundary; 0 for a sharp one. A point's weight falls linearly from its full value, half the width
    inside the boundary, to 0, half the width outside. A causal edge lies inside only: y at x counts half, y after x not
    at all."""

    @model_validator(mode="after")
    def _check_edge(self) -> Support:
        if self.edge and self.everywhere:
            raise ValueError(f"causal, radius or window with edge = {self.edge:g}")
        return self

    def __and__(self, other: Support) -> Support:
        """Return the support of the pairs in both.

        Example:
            >>> (Support(causal="t", radius=2.0) & Support(radius=1.0)).model_dump(exclude_defaults=True)
            {'causal': 't', 'radius': 1.0}

        Raises:
            ConfigError: they are causal on different axes, or have edges of different widths.
        """
        axes = {support.causal for support in (self, other)} - {None}
        edges = {support.edge for support in (self, other) if not support.everywhere} or {0.0}
        if len(axes) > 1 or len(edges) > 1:
            found = f"{self!r} and {other!r}"
            raise ConfigError("Support", found=found, expected="one causal axis and one edge for the pairs in both")
        radius, window = (
            min((length for length in lengths if length is not None), default=None)
            for lengths in ((self.radius, other.radius), (self.window, other.window))
        )
        return Support(causal=next(iter(axes), None), radius=radius, window=window, edge=edges.pop())

    @property
    def everywhere(self) -> bool:
        """Whether every pair is in the support."""
        return self.causal is None and not self.local

    @property
    def local(self) -> bool:
        """Whether the support has a radius or a window."""
        return self.radius is not None or self.window is not None

    def mask(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the pairs in the support, (B, n, m), for positions of shape (B, n, p) and (B, m, p)."""
        if self.edge:
            return self.share(query, key) > 0
        return self._within(query.unsqueeze(2), query.unsqueeze(2), key.unsqueeze(1), key.unsqueeze(1))

    def share(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the fraction of its weight that each pair keeps, from 0 to 1, (B, n, m); arguments as for `mask`."""
        dtype = torch.promote_types(query.dtype, torch.float32)
        if not self.edge:
            return self.mask(query, key).to(dtype)
        offset = query.to(dtype).unsqueeze(2) - key.to(dtype).unsqueeze(1)
        share = torch.ones_like(offset[..., 0])
        if self.causal is not None:
            behind = offset[..., self.causal_axis(offset.shape[-1])]
            share = torch.where(behind >= 0, self._ramp(behind), 0.0)
        if self.radius is not None:
            share = share * self._ramp(self.radius - torch.linalg.vector_norm(offset, dim=-1))
        if self.window is not None:
            share = share * self._ramp(self.window - offset.abs()).prod(-1)
        return share

    def _ramp(self, depth: Tensor) -> Tensor:
        """Return the share of a point at a depth inside a boundary; the depth is negative outside."""
        return (depth / self.edge + 0.5).clamp(0, 1)

    def reaches(self, query_low: Tensor, query_high: Tensor, key_low: Tensor, key_high: Tensor) -> Tensor:
        """Return the pairs of boxes that may contain a pair of the support, (..., n, m).

        Never `False` for boxes that contain one, so that tiles of pairs where it is `False` can be skipped.

        Args:
            query_low: lower corners of boxes around query points, (..., n, p).
            query_high: upper corners.
            key_low: lower corners of boxes around key points, (..., m, p).
            key_high: upper corners.
        """
        q, k = (query_low.unsqueeze(-2), query_high.unsqueeze(-2)), (key_low.unsqueeze(-3), key_high.unsqueeze(-3))
        return self._within(*q, *k)

    def _within(self, query_low: Tensor, query_high: Tensor, key_low: Tensor, key_high: Tensor) -> Tensor:
        """Whether the nearest points of two boxes are in the support or its edge; a point is a box of size 0."""
        gap = torch.maximum(key_low - query_high, query_low - key_high).clamp(min=0)
        inside = torch.ones(gap.shape[:-1], dtype=torch.bool, device=gap.device)
        if self.causal is not None:
            axis = self.causal_axis(gap.shape[-1])
            inside = inside & (key_low[..., axis] <= query_high[..., axis])
        if self.radius is not None:
            inside = inside & (gap.square().sum(-1) <= (self.radius + self.edge / 2) ** 2)
        if self.window is not None:
            inside = inside & (gap <= self.window + self.edge / 2).all(-1)
        return inside

    def causal_axis(self, coordinates: int) -> int:
        """Return the number of the causal coordinate, for positions with this number of coordinates.

        Raises:
            ConfigError: the positions have no such coordinate.
        """
        axis = self.causal
        if isinstance(axis, str) and coordinates == len(AXES):
            return AXES.index(axis)
        if isinstance(axis, int) and axis < coordinates:
            return axis
        raise ConfigError(
            "Support.causal",
            found=f"{axis!r} for positions with {coordinates} coordinates",
            expected=f"a letter of {AXES!r} for 4 coordinates, or a coordinate's number from 0 to {coordinates - 1}",
        )
