"""The sampler of landmarks."""

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
    """A coarser field: each of its points carries the mass of those it stands for, and the means of their values.

    The points are shared among the landmarks, farthest points or the cells of a coarser grid, each to the nearest. With
    weights w_j the landmark of a share has the weight Σ w_j, the value Σ w_j u_j / Σ w_j and the position
    Σ w_j x_j / Σ w_j: the total mass is kept exactly, and so is the integral of whatever is linear in value and
    position, so that the error falls with the square of the shares' diameter (the midpoint rule). A kernel's `project`
    sees the coarser field.

    Under a causal support mind that a landmark holds points around it, later ones too.
    """

    unbiased = False
    example_options: ClassVar[Mapping[str, Any]] = {"count": 8}

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            count: of farthest points; 64 if nothing is given. A field of no more points is taken as it is.
            pool: on a grid, how many points along each of its axes make one; the last ones may be fewer.
        """

        count: PositiveInt | None = None
        pool: tuple[PositiveInt, ...] | None = ConfigField(default=None, min_length=1)

        @model_validator(mode="after")
        def _one_way(self) -> LandmarksSampler.Config:
            if self.pool is not None and self.count is not None:
                raise ValueError("a pool or a count, not both")
            return self

    def forward(self, query: Field, key: Field) -> Field:
        """Return the landmarks' field; those that a sample has too few points for have weight 0.

        Raises:
            ConfigError: a pool is asked for, and the key is no grid of its dimensions.
        """
        if self.config.pool is not None:
            return self._pooled(key)
        count = 64 if self.config.count is None else self.config.count
        if key.values.shape[1] <= count:
            return key
        places = key.positions.detach()
        chosen = farthest_points(places, key.mask, count)
        centres = gather_points(places, chosen)
        owner, _ = nearest(places, centres, torch.ones_like(chosen, dtype=torch.bool), 1)
        return merged(key, owner.squeeze(-1), centres)

    def _pooled(self, key: Field) -> Field:
        pool, grid = self.config.pool, key.grid
        if grid is None or len(grid) != len(pool):
            raise ConfigError(
                "LandmarksSampler.pool",
                found=f"{pool}, and a key on the grid {grid}",
                expected=f"a grid of {len(pool)} dimensions",
                hint="Give a count for points that are no grid.",
            )
        sizes = [-(-size // by) for size, by in zip(grid, pool, strict=True)]
        owner = torch.zeros(grid, dtype=torch.long, device=key.device)
        for axis, (size, by) in enumerate(zip(grid, pool, strict=True)):
            along = torch.arange(size, device=key.device) // by
            owner = owner * sizes[axis] + along.view(-1, *[1] * (len(grid) - axis - 1))
        owner = owner.flatten().expand(len(key.values), -1)
        middles = _mean(key.positions, torch.ones_like(key.weights), owner, prod(sizes))
        coarse = merged(key, owner, middles)
        even = all(size % by == 0 for size, by in zip(grid, pool, strict=True))
        # A grid is regular: its points lie in the middle of their cells, whatever the weights there are.
        return Field(coarse.values, middles, coarse.weights, grid=tuple(sizes)) if even else coarse


def merged(key: Field, owner: Tensor, centres: Tensor) -> Field:
    """Return the field whose points stand for shares of another one's.

    Args:
        key: the finer field, N points.
        owner: which point each belongs to, shape (B, N).
        centres: where points with no mass lie, shape (B, M, p).
    """
    count = centres.shape[1]
    weights = torch.zeros_like(key.weights[:, :1]).expand(-1, count).scatter_add(1, owner, key.weights)
    positions = torch.where(weights.unsqueeze(-1) > 0, _mean(key.positions, key.weights, owner, count), centres)
    return Field(_mean(key.values, key.weights, owner, count), positions, weights)


def _mean(points: Tensor, weights: Tensor, owner: Tensor, count: int) -> Tensor:
    """Return Σ w x / Σ w over the shares, (B, count, d), 0 for those without mass."""
    precise = torch.promote_types(points.dtype, torch.float32)  # sums of half precision, and weights beyond its range
    weights = weights / weights.detach().amax(-1, keepdim=True)  # weights of 1e30 times points of 1e9 overflow
    weights, values = weights.to(precise), points.to(precise)
    total = torch.zeros_like(weights[:, :1]).expand(-1, count).scatter_add(1, owner, weights)
    sums = torch.zeros_like(values[:, :1]).expand(-1, count, -1)
    sums = sums.scatter_add(1, owner.unsqueeze(-1).expand_as(values), values * weights.unsqueeze(-1))
    return (sums / torch.where(total > 0, total, 1.0).unsqueeze(-1)).to(points.dtype)
