"""Encoder of two images and a text as one field."""

from __future__ import annotations

import torch
from torch import Tensor

from itnet_core import AXES, Field, union
from itnet_vision_language.encoders.joint_encoder import JointEncoder
from itnet_vision_language.inputs import ImageText, check_inputs

HALF_DISTANCE = 0.5
"""Distance of each of two images from the plane z = 0: between the widths of local and wide kernels."""


class ImagePairTextEncoder(JointEncoder):
    """The union of the fields of two images, from the same encoder, and of a text.

    The images lie in parallel planes of space-time, the left one at z = −1/2 and the right one at z = 1/2, so that a
    local kernel stays within an image, and a wide one connects corresponding places. A learned vector for each of the
    three parts distinguishes them.

    Example:
        >>> encoder = ImagePairTextEncoder(64)
        >>> encoder(ImageText(torch.rand(1, 2, 3, 32, 32), ["is the left one red?"])).values.shape
        torch.Size([1, 28, 64])
    """

    modality = "image-pair-text"
    united = ("left image", "right image", "text")

    def forward(self, inputs: ImageText) -> Field:
        """Encode pairs of images with texts.

        Args:
            inputs: images (B, 2, C, H, W), the left one first, and B texts.

        Raises:
            ShapeError: the inputs have another form, or an inner encoder refuses its part.
        """
        images, texts = check_inputs(inputs, 5, "ImagePairTextEncoder(inputs)")
        both = self.image(images.transpose(0, 1).flatten(0, 1))
        left, right = (_of(both, half, z) for half, z in ((0, -HALF_DISTANCE), (1, HALF_DISTANCE)))
        fields = [self.part(0, left), self.part(1, right), self.part(2, self.text(texts))]
        return union(fields, self.config.measure)

    def example(self) -> ImageText:
        """Return the examples of the inner encoders, each image with its mirror image."""
        images = self.image.example()
        return ImageText(torch.stack([images, images.flip(-1)], 1), self.text.example())


def _of(both: Field, half: int, z: float) -> Field:
    """Return one half of a batch, moved along the axis z."""

    def chosen(tensor: Tensor) -> Tensor:
        return tensor.chunk(2)[half]

    positions = chosen(both.positions).clone()
    positions[..., AXES.index("z")] += z
    return both.replace(values=chosen(both.values), positions=positions, weights=chosen(both.weights))
