"""Encoder of strided convolutions."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Annotated, Any, Literal

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveInt
from torch import Tensor, nn

from itnet_core import ComponentConfig, Encoder, Field
from itnet_image.encoders.image_field import check_images, image_field

Stride = Annotated[int, ConfigField(ge=1, le=3)]
"""At most the kernel's side, so that no pixel is skipped."""

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "group": lambda width: nn.GroupNorm(1, width),
    "batch": nn.BatchNorm2d,
    "none": lambda width: nn.Identity(),
}


class ConvStemEncoder(Encoder):
    """Strided 3 × 3 convolutions, each doubling the channels up to the trunk's width, and a linear map.

    After Xiao et al., "Early convolutions help transformers see better" (arXiv 2106.14881). A 3 × 3 convolution with a
    padding of 1 is centred on the first pixel of its cell, not on the cell's middle; so a point lies at the centre of
    that pixel.

    Example:
        >>> encoder = ConvStemEncoder(64, strides=(2, 2))
        >>> encoder(torch.rand(2, 3, 32, 32)).values.shape
        torch.Size([2, 64, 64])
    """

    modality = "image"
    axes = "xy"

    class Config(ComponentConfig):
        strides: Annotated[tuple[Stride, ...], ConfigField(min_length=1)] = (2, 2)
        """Strides of the convolutions, 1 to 3 each. A point represents a square of pixels whose side is their
        product."""

        channels: PositiveInt = 3
        """Channels of the images: 1 for grey, 3 for colour."""

        norm: Literal["group", "batch", "none"] = "group"
        """Norm after each convolution: `group` over each sample, `batch` over the batch too, or `none`."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        strides, norm = self.config.strides, self.config.norm
        widths = [max(8, dim >> doublings) for doublings in reversed(range(len(strides)))]
        layers: list[nn.Module] = []
        for below, width, stride in zip([self.config.channels, *widths], widths, strides, strict=False):
            convolution = nn.Conv2d(below, width, 3, stride=stride, padding=1, bias=norm == "none")
            layers += [convolution, NORMS[norm](width), nn.GELU()]
        self.stem = nn.Sequential(*layers)
        self.projection = nn.Conv2d(widths[-1], dim, 1)

    def forward(self, inputs: Tensor) -> Field:
        """Encode images as the field of the stem's cells.

        Args:
            inputs: floating images, shape (B, channels, H, W).

        Raises:
            ShapeError: the images have another shape or dtype, or pixels that are not finite.
        """
        check_images(inputs, self.config.channels, "ConvStemEncoder(inputs)")
        height, width = inputs.shape[-2:]
        values = self.projection(self.stem(inputs.to(self.projection.weight.dtype)))
        return image_field(values.permute(0, 2, 3, 1), (height, width), prod(self.config.strides), point=0.5)

    def example(self) -> Tensor:
        """Return two images."""
        return torch.randn(2, self.config.channels, 20, 24)
