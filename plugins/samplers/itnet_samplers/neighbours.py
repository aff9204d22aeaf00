"""The sampler `neighbours`."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from itnet_core import ComponentConfig, ConfigError, Field, Nodes, Sampler, distinct, gather_points
from itnet_samplers.search import most_within, nearest


class NeighboursSampler(Sampler):
    """The neighbourhood of each query: the nearest points, a radius, or a window on a grid (docs/operator.md, §5).

    The integral is truncated: nodes keep the key's weights, points farther away are left out, and only the mass inside
    the neighbourhood counts (`kept_mass`): k / N for k of N points under the mean measure. With normalization `none`
    and the mean measure, the integral over a fixed k therefore shrinks as the field gets finer. It does not with a
    radius, with the counting measure, or with `softmax`, which divides by the mass.

    A radius gives the same integral as a kernel whose support has that radius, in time proportional to the pairs within
    it. Each query has its own nodes, so N·M terms are gathered for M neighbours.

    Example:
        >>> field = Field(torch.randn(1, 100, 8), torch.rand(1, 100, 4))
        >>> NeighboursSampler(8, count=10)(field, field).indices.shape
        torch.Size([1, 100, 10])
    """

    unbiased = False
    truncates = True

    class Config(ComponentConfig):
        """Shape of the neighbourhood."""

        count: PositiveInt | None = None
        """Largest number of nearest points; by default 16, or all within the radius."""
        radius: PositiveFloat | None = None
        """Largest distance of a neighbour."""
        window: tuple[NonNegativeInt, ...] | None = ConfigField(default=None, min_length=1)
        """Half the width of a box of neighbours, in steps along each axis of the key's grid. Queries lie on points of
        that grid, all of them or some, such as every second one."""

        @model_validator(mode="after")
        def _one_way(self) -> NeighboursSampler.Config:
            if self.window is not None and (self.count is not None or self.radius is not None):
                raise ValueError("a window alone; or a count, a radius, or both")
            return self

    def forward(self, query: Field, key: Field) -> Nodes:
        """Return the nodes of each query, (B, N, M), padded with weight 0 where it has fewer neighbours.

        Raises:
            ConfigError: the configuration has a window, and the key's grid has other dimensions, or a query does not
                lie on one of its points.
        """
        if self.config.window is not None:
            return self._window(query, key)
        count, radius = self.config.count, self.config.radius
        positions = query.positions.detach(), key.positions.detach().to(query.positions.dtype)
        if count is None:
            count = 16 if radius is None else most_within(*positions, key.mask, radius)
        count = min(count, key.values.shape[1])
        indices, valid = nearest(*positions, key.mask, count, torch.inf if radius is None else radius)
        return Nodes(indices, gather_points(key.weights, indices).where(valid, 0.0))

    def _window(self, query: Field, key: Field) -> Nodes:
        window, grid = self.config.window, key.grid
        centres = _grid_points(query, key) if grid is not None and len(grid) == len(window) else None
        if grid is None or centres is None:
            raise ConfigError(
                "NeighboursSampler.window",
                found=f"{window}, a query on the grid {query.grid} and a key on the grid {grid}",
                expected=f"one grid of {len(window)} dimensions for both, or queries on some of the key's points",
                hint="Give a count or a radius for other points.",
            )
        indices, valid = window_indices(grid, window, key.device)
        indices, valid = indices[centres].expand(key.values.shape[0], -1, -1), valid[centres]
        return Nodes(indices, gather_points(key.weights, indices).where(valid, 0.0))


def _grid_points(query: Field, key: Field) -> torch.Tensor | None:
    """Return the key point at each query point, (B or 1, N); `None` if a query point lies on none."""
    targets, points = distinct(query.positions.detach()), distinct(key.positions.detach())
    if query is key or (targets.shape == points.shape and torch.equal(targets, points)):
        return torch.arange(points.shape[1], device=points.device).unsqueeze(0)
    batch = max(targets.shape[0], points.shape[0])
    targets, points = targets.expand(batch, -1, -1), points.expand(batch, -1, -1)
    indices, _ = nearest(targets, points, torch.ones_like(points[..., 0], dtype=torch.bool), 1)
    nearest_point = indices[..., 0]
    close = torch.finfo(points.dtype).eps * 16 * points.abs().amax()
    return nearest_point if (gather_points(points, nearest_point) - targets).abs().amax() <= close else None


def window_indices(grid: tuple[int, ...], window: tuple[int, ...], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices of the points in a window around each grid point, (N, Π(2 w + 1)), and which exist."""
    axes = [torch.arange(size, device=device) for size in grid]
    cells = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
    steps = torch.tensor(list(product(*[range(-w, w + 1) for w in window])), device=device)
    sizes = torch.tensor(grid, device=device)
    around = cells.unsqueeze(1) + steps
    valid = ((around >= 0) & (around < sizes)).all(-1)
    strides = sizes.flip(0).cumprod(0).flip(0) // sizes
    return (around.clamp(min=0).minimum(sizes - 1) * strides).sum(-1), valid


def kept_mass(nodes: Nodes, key: Field) -> torch.Tensor:
    """Compute the share of the key's mass in each query's nodes, (B, N)."""
    return nodes.weights.sum(-1) / key.weights.sum(-1, keepdim=True)
