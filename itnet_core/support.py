"""Supports: which pairs (x, y) the integral runs over."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from itnet_core.config import ComponentConfig
from itnet_core.errors import ConfigError
from itnet_core.field import AXES


class Support(ComponentConfig):
    """The domain of integration around a query point x. Conditions combine; by default there is none.

    Attributes:
        causal: only y at or before x on this axis: a letter of `AXES` for positions in R^4, or a coordinate's number.
        radius: only y with ‖x − y‖ ≤ radius.
        window: only y with |x − y| ≤ window in every coordinate.
    """

    causal: str | int | None = None
    radius: NonNegativeFloat | None = None
    window: NonNegativeFloat | None = None

    @property
    def everywhere(self) -> bool:
        """Whether every pair is in the support."""
        return self.causal is None and self.radius is None and self.window is None

    def mask(self, query: Tensor, key: Tensor) -> Tensor:
        """Return which pairs are in the support, (B, n, m), for positions of shape (B, n, p) and (B, m, p)."""
        return self._within(query.unsqueeze(2), query.unsqueeze(2), key.unsqueeze(1), key.unsqueeze(1))

    def reaches(self, query_low: Tensor, query_high: Tensor, key_low: Tensor, key_high: Tensor) -> Tensor:
        """Return which pairs of boxes may hold a pair of the support, (..., n, m).

        Never `False` for boxes that do hold one, so a tile of pairs where it is `False` can be left out.

        Args:
            query_low: a corner of boxes around query points, (..., n, p).
            query_high: the opposite corners.
            key_low: a corner of boxes around key points, (..., m, p).
            key_high: the opposite corners.
        """
        q, k = (query_low.unsqueeze(-2), query_high.unsqueeze(-2)), (key_low.unsqueeze(-3), key_high.unsqueeze(-3))
        return self._within(*q, *k)

    def _within(self, query_low: Tensor, query_high: Tensor, key_low: Tensor, key_high: Tensor) -> Tensor:
        """Whether the nearest points of two boxes are in the support; a point is a box without extent."""
        gap = torch.maximum(key_low - query_high, query_low - key_high).clamp(min=0)
        inside = torch.ones(gap.shape[:-1], dtype=torch.bool, device=gap.device)
        if self.causal is not None:
            axis = self.causal_axis(gap.shape[-1])
            inside = inside & (key_low[..., axis] <= query_high[..., axis])
        if self.radius is not None:
            inside = inside & (gap.square().sum(-1) <= self.radius**2)
        if self.window is not None:
            inside = inside & (gap <= self.window).all(-1)
        return inside

    def causal_axis(self, coordinates: int) -> int:
        """Return which of the positions' coordinates is the causal one.

        Raises:
            ConfigError: there is none.
        """
        axis = self.causal
        if isinstance(axis, str) and axis in AXES and len(axis) == 1 and coordinates == len(AXES):
            return AXES.index(axis)
        if isinstance(axis, int) and 0 <= axis < coordinates:
            return axis
        raise ConfigError(
            "Support.causal",
            found=f"{axis!r} for positions with {coordinates} coordinates",
            expected=f"a letter of {AXES!r} for 4 coordinates, or a coordinate's number from 0 to {coordinates - 1}",
        )
