"""Encoder of single points."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import NonNegativeInt
from torch import nn

from itnet_core import ComponentConfig, Encoder, Field
from itnet_pointcloud.points import PointClouds, check_points, cloud_field, example


class PointEncoder(Encoder):
    """An MLP of each point's coordinates and features; positions and weights are the cloud's.

    Kernels depend only on differences of positions; the values provide the absolute positions, such as the height above
    the ground. More points of a surface are a finer sample of the same field.

    Example:
        >>> from itnet_pointcloud.points import Cloud, PointClouds
        >>> encoder = PointEncoder(64)
        >>> encoder(PointClouds.of([Cloud(torch.rand(500, 3), torch.zeros(500, 0))])).values.shape
        torch.Size([1, 500, 64])
    """

    modality = "point-cloud"
    axes = "xyz"

    class Config(ComponentConfig):
        features: NonNegativeInt = 0
        """Channels of each point in addition to its coordinates: 3 for a normal or a colour, 6 for both, …"""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.lift = nn.Sequential(nn.Linear(3 + self.config.features, dim), nn.GELU(), nn.Linear(dim, dim))

    def forward(self, inputs: PointClouds) -> Field:
        """Encode clouds as the field of their points.

        Raises:
            ShapeError: the inputs are not `PointClouds` with the configured features, or not finite.
        """
        points = check_points(inputs, self.config.features, "PointEncoder(inputs)")
        known = torch.cat([points.positions, points.features], dim=-1).to(next(self.parameters()).dtype)
        return cloud_field(self.lift(known), points.positions, points.weights)

    def example(self) -> PointClouds:
        """Return two clouds of random points."""
        return example(self.config.features)
