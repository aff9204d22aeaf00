"""Encoder of square patches."""

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
    """Square patches as points; the value is a linear map of a patch's pixels, at the patch's centre.

    An image whose sides are not multiples of `patch_size` is padded with 0 on the right and at the bottom. A patch that
    is partly padding has the weight of its part inside the image. With `patch_size=1`, a finer image is a finer sample
    of the same field.

    With `image_size`, the value is ∫ w(x) u(x) dx over the patch, where the weight w and the image u are each constant
    on their own pixels. The image is resampled to the pixels of w by area, which gives the same sum as resampling w,
    and allows patches that are not a whole number of the image's pixels.

    Example:
        >>> encoder = PatchEncoder(64, patch_size=8)
        >>> field = encoder(torch.rand(2, 3, 32, 32))
        >>> field.values.shape, field.grid
        (torch.Size([2, 16, 64]), (4, 4))
    """

    modality = "image"
    axes = "xy"

    class Config(ComponentConfig):
        patch_size: PositiveInt = 16
        """Side of a patch in pixels."""

        channels: PositiveInt = 3
        """Channels of the images: 1 for grey, 3 for colour."""

        image_size: PositiveInt | None = None
        """Longer side of the images that `patch_size` refers to. An image of another resolution is cut into the same
        number of patches, and the linear map is resampled. By default a patch always has `patch_size` pixels, and finer
        images have more points."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.projection = nn.Conv2d(self.config.channels, dim, self.config.patch_size, self.config.patch_size)

    def forward(self, inputs: Tensor) -> Field:
        """Encode images as the field of their patches.

        Args:
            inputs: floating images, shape (B, channels, H, W).

        Raises:
            ShapeError: the images have another shape or dtype, or pixels that are not finite.
        """
        check_images(inputs, self.config.channels, "PatchEncoder(inputs)")
        patch = self.config.patch_size
        height, width = inputs.shape[-2:]
        longer: Any = torch.sym_max(height, width)  # of exported graphs' sizes too
        resolution: int = self.config.image_size or longer
        images = inputs.to(self.projection.weight.dtype)
        # An exported graph resamples images of any size, by 1 where they have this one.
        if self.config.image_size is None or (not torch.compiler.is_exporting() and resolution == longer):
            cell: float = patch
            rows, columns = ((side + patch - 1) // patch for side in (height, width))
            images = F.pad(images, (0, columns * patch - width, 0, rows * patch - height))
        else:
            cell = patch * longer / resolution
            # In whole numbers: a quotient of floats may lie just above one, and would add a row that covers nothing.
            whole = patch * longer
            rows, columns = ((side * resolution + whole - 1) // whole for side in (height, width))
            images = resample(images, (rows * patch, columns * patch), longer / resolution)
        values = self.projection(images).permute(0, 2, 3, 1)
        return image_field(values, (height, width), cell)

    def example(self) -> Tensor:
        """Return two images."""
        return torch.randn(2, self.config.channels, 20, 24)
