"""The sampler `landmarks`."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveInt, model_validator
from torch import Tensor

from itnet_core import ComponentConfig, ConfigError, Field, Sampler, farthest_points, gather_points
from itnet_samplers.search import nearest


class LandmarksSampler(Sampler):
    """A coarser field: each landmark carries the mass of a cluster of points, and the means of their values.

    Clusters are the points nearest to each of `count` farthest points, or the cells of a coarser grid. With weights w_j
    a landmark has the weight Σ w_j, the value Σ w_j u_j / Σ w_j and the position Σ w_j x_j / Σ w_j over its cluster.
    The total mass is conserved exactly, and so is the integral of any function that is linear in value and position:
    the error falls with the square of the clusters' diameter, as for the midpoint rule. `Kernel.project` gets the
    coarser field.

    Under a causal support, note that a landmark also represents later points of its cluster.

    Example:
        >>> image = Field.on_grid(torch.randn(2, 8, 8, 16), axes="yx")
        >>> LandmarksSampler(16, pool=(2, 2))(image, image)
        Field(B=2, N=16, d=16, p=4, grid=(4, 4))
    """

    unbiased = False
    example_options: ClassVar[Mapping[str, Any]] = {"count": 8}

    class Config(ComponentConfig):
        """Number of landmarks."""

        count: PositiveInt | None = None
        """Number of farthest points; 64 by default. A field with no more points is left unchanged."""
        pool: tuple[PositiveInt, ...] | None = ConfigField(default=None, min_length=1)
        """Points per cell along each axis of a grid, instead of a count; the last cells may have fewer."""

        @model_validator(mode="after")
        def _one_way(self) -> LandmarksSampler.Config:
            if self.pool is not None and self.count is not None:
                raise ValueError("a pool or a count, not both")
            return self

    def forward(self, query: Field, key: Field) -> Field:
        """Return the field of the landmarks; a sample with too few points has landmarks of weight 0.

        Raises:
            ConfigError: the configuration has a pool, and the key is not a grid of as many dimensions.
        """
        if self.config.pool is not None:
            return self._pooled(key)
        count = 64 if self.config.count is None else self.config.count
        if key.values.shape[1] <= count:
            return key
        positions = key.positions.detach()
        chosen = farthest_points(positions, key.mask, count)
        centres = gather_points(positions, chosen)
        owner, _ = nearest(positions, centres, torch.ones_like(chosen, dtype=torch.bool), 1)
        return merged(key, owner.squeeze(-1), centres)

    def _pooled(self, key: Field) -> Field:
        pool, grid = self.config.pool, key.grid
        if grid is None or len(grid) != len(pool):
            raise ConfigError(
                "LandmarksSampler.pool",
                found=f"{pool}, and a key on the grid {grid}",
                expected=f"a grid of {len(pool)} dimensions",
                hint="Give a count for scattered points.",
            )
        sizes = [-(-size // by) for size, by in zip(grid, pool, strict=True)]
        owner = torch.zeros(grid, dtype=torch.long, device=key.device)
        for axis, (size, by) in enumerate(zip(grid, pool, strict=True)):
            along = torch.arange(size, device=key.device) // by
            owner = owner * sizes[axis] + along.view(-1, *[1] * (len(grid) - axis - 1))
        owner = owner.flatten().expand(key.values.shape[0], -1)
        middles = _mean(key.positions, torch.ones_like(key.weights), owner, prod(sizes))
        coarse = merged(key, owner, middles)
        even = all(size % by == 0 for size, by in zip(grid, pool, strict=True))
        # A grid is regular: its points lie in the middle of their cells, whatever the weights there are.
        return Field(coarse.values, middles, coarse.weights, grid=tuple(sizes)) if even else coarse


def merged(key: Field, owner: Tensor, centres: Tensor) -> Field:
    """Merge clusters of points into one point each.

    Args:
        key: the finer field, N points.
        owner: the cluster of each point, shape (B, N).
        centres: positions of clusters without mass, shape (B, M, p).
    """
    count = centres.shape[1]
    weights = torch.zeros_like(key.weights[:, :1]).expand(-1, count).scatter_add(1, owner, key.weights)
    positions = torch.where(weights.unsqueeze(-1) > 0, _mean(key.positions, key.weights, owner, count), centres)
    return Field(_mean(key.values, key.weights, owner, count), positions, weights)


def _mean(points: Tensor, weights: Tensor, owner: Tensor, count: int) -> Tensor:
    """Compute Σ w x / Σ w over each cluster, (B, count, d); 0 for a cluster without mass."""
    precise = torch.promote_types(points.dtype, torch.float32)  # half precision loses digits of sums, and small weights
    weights = weights / weights.detach().amax(-1, keepdim=True)  # weights of 1e30 times points of 1e9 overflow
    weights, values = weights.to(precise), points.to(precise)
    total = torch.zeros_like(weights[:, :1]).expand(-1, count).scatter_add(1, owner, weights)
    sums = torch.zeros_like(values[:, :1]).expand(-1, count, -1)
    sums = sums.scatter_add(1, owner.unsqueeze(-1).expand_as(values), values * weights.unsqueeze(-1))
    return (sums / torch.where(total > 0, total, 1.0).unsqueeze(-1)).to(points.dtype)
