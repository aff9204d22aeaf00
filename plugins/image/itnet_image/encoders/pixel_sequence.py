"""Encoder of pixels in the order of reading."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Encoder, Field
from itnet_image.encoders.image_field import check_images


class PixelSequenceEncoder(Encoder):
    """The pixels of an image as a sequence in time, row by row; the value is a linear map of a pixel's channels.

    A model does not know which pixels are neighbours in different rows, so images become a benchmark of long sequences
    ("sequential MNIST"; Le et al., arXiv 1504.00941). With `pixels` > 1, a point represents as many neighbouring pixels
    of a row. Rows are padded with 0 to a multiple of `pixels`, and the last point of a row has the weight of its part
    inside the image.

    Example:
        >>> encoder = PixelSequenceEncoder(64, channels=1)
        >>> field = encoder(torch.rand(2, 1, 28, 28))
        >>> field.values.shape, field.grid
        (torch.Size([2, 784, 64]), (784,))
    """

    modality = "image"
    axes = "t"

    class Config(ComponentConfig):
        pixels: PositiveInt = 1
        """Number of pixels of a row that one point represents."""

        channels: PositiveInt = 3
        """Channels of the images: 1 for grey, 3 for colour."""

        points_per_unit: PositiveFloat = 8.0
        """Number of points in one unit of time."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        row = (1, self.config.pixels)
        self.projection = nn.Conv2d(self.config.channels, dim, row, stride=row)

    def forward(self, inputs: Tensor) -> Field:
        """Encode images as the field of their pixels in time.

        Args:
            inputs: floating images, shape (B, channels, H, W).

        Raises:
            ShapeError: the images have another shape or dtype, or pixels that are not finite.
        """
        check_images(inputs, self.config.channels, "PixelSequenceEncoder(inputs)")
        pixels = self.config.pixels
        batch, _, height, width = inputs.shape
        columns = (width + pixels - 1) // pixels
        images = F.pad(inputs.to(self.projection.weight.dtype), (0, columns * pixels - width))
        values = self.projection(images).flatten(2).transpose(1, 2)
        starts = pixels * torch.arange(columns, dtype=torch.float32, device=values.device)
        weights = ((width - starts).clamp(max=pixels) / (height * width)).repeat(height).expand(batch, -1)
        duration = height * columns / self.config.points_per_unit
        return Field.on_grid(values, axes="t", bounds=[(0.0, duration)], weights=weights)

    def example(self) -> Tensor:
        """Return two images."""
        return torch.randn(2, self.config.channels, 5, 6)
