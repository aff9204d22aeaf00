"""The sampler of neighbourhoods."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from itnet_core import ComponentConfig, ConfigError, Field, Nodes, Sampler, gather_points
from itnet_core.operator.points import distinct
from itnet_samplers.search import most_within, nearest


class NeighboursSampler(Sampler):
    """The points around each query: the nearest, those within a radius, or a window on a grid (OPERATOR §5).

    The integral is truncated: the nodes have the key's own weights, nothing stands for the points farther away, and of
    the mass Σ_j w_j what lies in the neighbourhood is kept (`kept_mass`); for k of N points of the mean measure, k / N.
    With normalization `none` a kernel under the mean measure thus sees less the finer the field is, for a fixed k; a
    radius, a kernel that integrates by the counting measure, or `softmax`, which divides by the mass, do not.

    A radius gives what a kernel whose support is that radius gives over all points, but in the time of the pairs within
    it. Nodes belong to each query, so that N times as many terms are gathered as it has neighbours.
    """

    unbiased = False
    truncates = True

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            count: as many of the nearest points, at most; 16 if nothing else is given, all with a radius.
            radius: none farther than this.
            window: on a grid, all points up to so many steps away along each of its axes. Queries lie on points of the
                key's grid, on all of them or on some, as on every second one.
        """

        count: PositiveInt | None = None
        radius: PositiveFloat | None = None
        window: tuple[NonNegativeInt, ...] | None = ConfigField(default=None, min_length=1)

        @model_validator(mode="after")
        def _one_way(self) -> NeighboursSampler.Config:
            if self.window is not None and (self.count is not None or self.radius is not None):
                raise ValueError("a window alone, or a count, a radius or both")
            return self

    def forward(self, query: Field, key: Field) -> Nodes:
        """Return the nodes of each query, (B, N, M), padded with weight 0 where it has fewer neighbours.

        Raises:
            ConfigError: a window is asked for, and the key is no grid of its dimensions or queries lie off its points.
        """
        if self.config.window is not None:
            return self._window(query, key)
        count, radius = self.config.count, self.config.radius
        places = query.positions.detach(), key.positions.detach().to(query.positions.dtype)
        if count is None:
            count = 16 if radius is None else most_within(*places, key.mask, radius)
        count = min(count, key.values.shape[1])
        indices, there = nearest(*places, key.mask, count, torch.inf if radius is None else radius)
        return Nodes(indices, gather_points(key.weights, indices).where(there, 0.0))

    def _window(self, query: Field, key: Field) -> Nodes:
        window, grid = self.config.window, key.grid
        centres = _points_of(query, key) if grid is not None and len(grid) == len(window) else None
        if grid is None or centres is None:
            raise ConfigError(
                "NeighboursSampler.window",
                found=f"{window}, a query on the grid {query.grid} and a key on the grid {grid}",
                expected=f"one grid of {len(window)} dimensions for both, or queries on some of the key's points",
                hint="Give a count or a radius for points elsewhere.",
            )
        indices, there = (each[centres] for each in window_indices(grid, window, key.device))
        indices = indices.expand(len(key.values), -1, -1)
        return Nodes(indices, gather_points(key.weights, indices).where(there, 0.0))


def _points_of(query: Field, key: Field) -> torch.Tensor | None:
    """Return which of the key's points each query point is, (B or 1, N); `None` where one is at none."""
    places, points = distinct(query.positions.detach()), distinct(key.positions.detach())
    if query is key or (places.shape == points.shape and torch.equal(places, points)):
        return torch.arange(points.shape[1], device=points.device).unsqueeze(0)
    batch = max(len(places), len(points))
    places, points = (each.expand(batch, -1, -1) for each in (places, points))
    indices, _ = nearest(places, points, torch.ones_like(points[..., 0], dtype=torch.bool), 1)
    nearest_point = indices[..., 0]
    close = torch.finfo(points.dtype).eps * 16 * points.abs().amax()
    return nearest_point if (gather_points(points, nearest_point) - places).abs().amax() <= close else None


def window_indices(grid: tuple[int, ...], window: tuple[int, ...], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices of the points in a window around each, (N, Π(2 w + 1)), and which are on the grid."""
    axes = [torch.arange(size, device=device) for size in grid]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
    steps = torch.tensor(list(product(*[range(-w, w + 1) for w in window])), device=device)
    sizes = torch.tensor(grid, device=device)
    found = places.unsqueeze(1) + steps
    there = ((found >= 0) & (found < sizes)).all(-1)
    strides = sizes.flip(0).cumprod(0).flip(0) // sizes
    return (found.clamp(min=0).minimum(sizes - 1) * strides).sum(-1), there


def kept_mass(nodes: Nodes, key: Field) -> torch.Tensor:
    """Return the share of the key's mass that each query's nodes have, (B, N)."""
    return nodes.weights.sum(-1) / key.weights.sum(-1, keepdim=True)
