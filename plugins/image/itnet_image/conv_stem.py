"""A convolutional stem: a few strided convolutions before the integral operators."""

from __future__ import annotations

from typing import Any

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Encoder, Field
from itnet_image.pictures import check_pictures, picture_field


class ConvStemEncoder(Encoder):
    """Convolutions of stride 2, each halving the picture and doubling the channels up to the trunk's width.

    After Xiao et al., "Early convolutions help transformers see better" (arXiv 2106.14881); with 4 × 4 kernels, whose
    centres are the centres of the halved picture's cells, and group normalisation, so that samples of a batch do not
    see each other. Sides that are no multiple of 2^halvings are padded with 0 at the right and below.
    """

    modality = "image"

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            halvings: strided convolutions; a point stands for 2^halvings pixels a side.
            channels: of the pictures.
        """

        halvings: PositiveInt = 2
        channels: PositiveInt = 3

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        widths = [max(8, dim >> (self.config.halvings - 1 - i)) for i in range(self.config.halvings)]
        layers: list[nn.Module] = []
        for below, width in zip([self.config.channels, *widths], widths, strict=False):
            layers += [nn.Conv2d(below, width, 4, stride=2, padding=1, bias=False), nn.GroupNorm(1, width), nn.GELU()]
        self.stem = nn.Sequential(*layers, nn.Conv2d(widths[-1], dim, 1))

    def forward(self, inputs: Tensor) -> Field:
        """Return the field of the stem's cells.

        Args:
            inputs: pictures, floating, shape (B, channels, H, W).

        Raises:
            ShapeError: the pictures have another shape or dtype, or pixels that are not finite.
        """
        check_pictures(inputs, self.config.channels, "ConvStemEncoder(inputs)")
        height, width = inputs.shape[-2:]
        side = 2**self.config.halvings
        values = self.stem(F.pad(inputs, (0, -width % side, 0, -height % side))).permute(0, 2, 3, 1)
        return picture_field(values, (height, width), (side, side))
