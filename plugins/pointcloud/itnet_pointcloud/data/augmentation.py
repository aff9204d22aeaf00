"""Random augmentation of training clouds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeFloat
from torch import Tensor

from itnet_core import ComponentConfig
from itnet_pointcloud.points import Cloud

Axis = Literal["x", "y", "z"]
Rotation = Literal["none", "vertical", "any"]
Factor = Annotated[float, ConfigField(ge=1)]


class AugmentationConfig(ComponentConfig):
    """Options of tasks that augment clouds."""

    augment: bool = True
    """Augment training clouds."""

    up: Axis = "z"
    """Axis of the data that points up."""

    rotation: Rotation = "vertical"
    """Random rotation about the `vertical` axis, about `any` axis, or `none`."""

    turn: Annotated[float, ConfigField(ge=0, le=180)] = 180.0
    """Largest angle of a rotation about the vertical axis, in degrees, either way; 180 for any angle."""

    mirror: Annotated[float, ConfigField(ge=0, le=1)] = 0.0
    """Probability of mirroring a cloud left and right: along x, or along y where x points up."""

    scale: Factor = 1.0
    """Largest factor by which a cloud is enlarged or shrunk; 1 for none."""

    stretch: Factor = 1.0
    """Largest factor by which a cloud is enlarged or shrunk along each axis separately; 1 for none."""

    jitter: NonNegativeFloat = 0.0
    """Standard deviation of the noise on each coordinate, truncated at twice as much."""


@dataclass(frozen=True)
class CloudAugmentation:
    """Random changes of a cloud, drawn from torch's generator.

    Attributes:
        config: kinds and strengths of the changes.
        normals: the first three features are unit normals, which turn with the cloud.
    """

    config: AugmentationConfig
    normals: bool = False

    def __call__(self, cloud: Cloud) -> Cloud:
        """Apply random changes to a cloud."""
        matrix = self._linear_map()
        noise = torch.randn_like(cloud.positions).clamp(-2, 2) * self.config.jitter
        positions = cloud.positions @ matrix.T + noise
        if not self.normals:
            return cloud._replace(positions=positions)
        turned = cloud.features[:, :3] @ torch.linalg.inv(matrix)  # normals go with the inverse transpose
        unit = torch.nn.functional.normalize(turned, dim=-1)
        return Cloud(positions, torch.cat([unit, cloud.features[:, 3:]], dim=-1))

    def _linear_map(self) -> Tensor:
        c, up = self.config, "xyz".index(self.config.up)
        matrix = torch.diag(_factor(c.scale) * torch.stack([_factor(c.stretch) for _ in range(3)]))
        if torch.rand(()) < c.mirror:
            matrix[1 if up == 0 else 0] *= -1
        if c.rotation == "vertical":
            return rotation_about(up, math.radians(c.turn) * (2 * torch.rand(()) - 1)) @ matrix
        return random_rotation() @ matrix if c.rotation == "any" else matrix


def rotation_about(axis: int, angle: Tensor) -> Tensor:
    """Return the rotation about a coordinate axis (0, 1 or 2) by an angle in radians, shape (3, 3)."""
    matrix = torch.eye(3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[first, first] = matrix[second, second] = angle.cos()
    matrix[second, first] = angle.sin()
    matrix[first, second] = -angle.sin()
    return matrix


def random_rotation() -> Tensor:
    """Return a uniformly random rotation, shape (3, 3), from the unit quaternion of a normal vector."""
    w, x, y, z = torch.nn.functional.normalize(torch.randn(4), dim=0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row) for row in rows])


def _factor(largest: float) -> Tensor:
    """Draw a factor between 1 / largest and largest, uniformly in its logarithm."""
    return torch.exp(math.log(largest) * (2 * torch.rand(()) - 1))
