"""Square patches as points."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Encoder, Field
from itnet_image.encoders.image_field import check_images, image_field
from itnet_image.encoders.resample import resample


class PatchEncoder(Encoder):
    """Images cut into square patches; a linear map of its pixels is the value at each patch's centre.

    Sides that the patch does not divide are padded with 0 at the right and below; patches there weigh what they cover.
    With `patch_size=1` the value is a function of the pixel, and a finer image is a finer sample of the same field.

    With `image_size` the value is ∫ w(x) u(x) dx over the patch, w and u being constant on pixels of their own. Whether
    w is resampled to the image's pixels or the image to those of w, by area, is the same sum; the latter is done,
    because it serves patches that are no whole number of the image's pixels too.
    """

    modality = "image"
    axes = "xy"

    class Config(ComponentConfig):
        patch_size: PositiveInt = 16
        """Side of a patch in pixels."""

        channels: PositiveInt = 3
        """Of the images, 1 or 3 as a rule."""

        image_size: PositiveInt | None = None
        """The longer side of the images that `patch_size` is meant for. Images of another resolution are then cut into
        patches of the same share of the image, with the linear map resampled. Without it a patch always has
        `patch_size` pixels, and finer images have more points."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.projection = nn.Conv2d(self.config.channels, dim, self.config.patch_size, self.config.patch_size)

    def forward(self, inputs: Tensor) -> Field:
        """Return the field of the patches.

        Args:
            inputs: images, floating, shape (B, channels, H, W).

        Raises:
            ShapeError: the images have another shape or dtype, or pixels that are not finite.
        """
        check_images(inputs, self.config.channels, "PatchEncoder(inputs)")
        patch = self.config.patch_size
        height, width = inputs.shape[-2:]
        longer = max(height, width)
        resolution = self.config.image_size or longer
        # In whole numbers: a quotient of floats may lie just above one, and would add a row that covers nothing.
        rows, columns = (-(-side * resolution // (patch * longer)) for side in (height, width))
        images = inputs.to(self.projection.weight.dtype)
        if resolution == longer:
            images = F.pad(images, (0, columns * patch - width, 0, rows * patch - height))
        else:
            images = resample(images, (rows * patch, columns * patch), longer / resolution)
        values = self.projection(images).permute(0, 2, 3, 1)
        return image_field(values, (height, width), patch * longer / resolution)

    def example(self) -> Tensor:
        """Return two images."""
        return torch.randn(2, self.config.channels, 20, 24)
