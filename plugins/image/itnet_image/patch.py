"""Square patches as points."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Encoder, Field
from itnet_image.pictures import check_pictures, picture_field


class PatchEncoder(Encoder):
    """Pictures cut into square patches; a linear map of its pixels is the value at each patch's centre.

    Sides that the patch does not divide are padded with 0 at the right and below; patches there weigh what they cover.
    With `patch_size=1` the value is a function of the pixel, and a finer picture is a finer sample of the same field.
    """

    modality = "image"

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            patch_size: side of a patch in pixels.
            channels: of the pictures, 1 or 3 as a rule.
            image_size: the longer side of the pictures that `patch_size` is meant for. Pictures of another resolution
                are then cut into patches of the same share of the picture, with the linear map resampled. Without it a
                patch always has `patch_size` pixels, and finer pictures have more points.
        """

        patch_size: PositiveInt = 16
        channels: PositiveInt = 3
        image_size: PositiveInt | None = None

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.projection = nn.Conv2d(self.config.channels, dim, self.config.patch_size, self.config.patch_size)

    def forward(self, inputs: Tensor) -> Field:
        """Return the field of the patches.

        Args:
            inputs: pictures, floating, shape (B, channels, H, W).

        Raises:
            ShapeError: the pictures have another shape or dtype, or pixels that are not finite.
        """
        check_pictures(inputs, self.config.channels, "PatchEncoder(inputs)")
        height, width = inputs.shape[-2:]
        side = self._side(max(height, width))
        padded = F.pad(inputs, (0, -width % side, 0, -height % side))
        values = F.conv2d(padded, self._weight(side), self.projection.bias, stride=side)
        return picture_field(values.permute(0, 2, 3, 1), (height, width), (side, side))

    def _side(self, longer: int) -> int:
        if self.config.image_size is None:
            return self.config.patch_size
        return max(1, round(self.config.patch_size * longer / self.config.image_size))

    def _weight(self, side: int) -> Tensor:
        """Return the linear map for patches of another resolution: resampled, and scaled so that the mean is kept."""
        weight, own = self.projection.weight, self.config.patch_size
        if side == own:
            return weight
        resampled = F.interpolate(weight, size=(side, side), mode="area")
        return resampled * torch.as_tensor(own / side, dtype=weight.dtype).square()
