"""Encoder of groups of neighbouring points."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from itnet_core import ComponentConfig, Encoder, Field, farthest_points, gather_points, nearest_points
from itnet_pointcloud.points import PointClouds, check_points, cloud_field, example


class LocalGroupEncoder(Encoder):
    """Centres by farthest point sampling, and a small PointNet over the nearest neighbours of each.

    A shared MLP maps each neighbour, relative to its centre, and the maximum over the group is taken, as in the first
    layer of PointNet++ (Qi et al., arXiv 1706.02413). The field lies at the centres, and has fewer points than the
    cloud.

    Example:
        >>> from itnet_pointcloud.points import Cloud, PointClouds
        >>> encoder = LocalGroupEncoder(64, centres=32, neighbours=16)
        >>> encoder(PointClouds.of([Cloud(torch.rand(500, 3), torch.zeros(500, 0))])).values.shape
        torch.Size([1, 32, 64])
    """

    modality = "point-cloud"
    axes = "xyz"

    class Config(ComponentConfig):
        features: NonNegativeInt = 0
        """Channels of each point in addition to its coordinates: 3 for a normal or a colour, 6 for both, …"""

        centres: PositiveInt = 128
        """Number of centres."""

        neighbours: PositiveInt = 32
        """Number of points of a group, including its centre."""

        weights: Literal["share", "mean"] = "share"
        """Weights of the centres: the `share` of the cloud's weight nearest to each, or the `mean` measure."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.group = nn.Sequential(nn.Linear(3 + self.config.features, dim), nn.GELU(), nn.Linear(dim, dim))
        self.lift = nn.Sequential(nn.Linear(dim + 3, dim), nn.GELU(), nn.Linear(dim, dim))
        # Neighbours lie closer than 1; without this the first layer would hardly see how they differ.
        self.log_scale = nn.Parameter(torch.tensor([1.5]))

    def forward(self, inputs: PointClouds) -> Field:
        """Encode clouds as the field of their groups.

        Raises:
            ShapeError: the inputs are not `PointClouds` with the configured features, or not finite.
        """
        points = check_points(inputs, self.config.features, "LocalGroupEncoder(inputs)")
        count = min(self.config.neighbours, points.weights.shape[1])
        centres = gather_points(points.positions, farthest_points(points.positions, points.mask, self.config.centres))
        neighbours, valid = nearest_points(centres, points.positions, points.mask, count)
        offsets = (gather_points(points.positions, neighbours) - centres.unsqueeze(2)) * self.log_scale.exp()
        seen = torch.cat([offsets, gather_points(points.features, neighbours)], dim=-1)
        dtype = self.log_scale.dtype
        groups = self.group(seen.to(dtype)).masked_fill(~valid.unsqueeze(-1), -torch.inf).amax(2)
        values = self.lift(torch.cat([groups, centres.to(dtype)], dim=-1))
        return cloud_field(values, centres, self._weights(points, centres))

    def example(self) -> PointClouds:
        """Return two clouds of random points."""
        return example(self.config.features)

    def _weights(self, points: PointClouds, centres: Tensor) -> Tensor:
        """Return the centres' weights; a centre that occurs twice, because a cloud has too few points, counts once."""
        owner, _ = nearest_points(points.positions, centres, torch.ones_like(centres[..., 0], dtype=torch.bool), 1)
        share = torch.zeros_like(centres[..., 0]).scatter_add(1, owner.squeeze(-1), points.weights)
        return share if self.config.weights == "share" else (share > 0).to(share.dtype)
