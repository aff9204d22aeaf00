"""Two images and a text as one field."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from itnet_core import AXES, Field, union
from itnet_vision_language.encoders.joint_encoder import JointEncoder
from itnet_vision_language.inputs import ImageText, check_inputs

HALF_DISTANCE = 0.5
"""How far each of two images lies from the plane z = 0: between the widths of the local and the wide kernels."""


class ImagePairTextEncoder(JointEncoder):
    """The union of the fields of two images, by one encoder, and of a text.

    The images lie in parallel planes of space-time, the left one at z = −1/2 and the right one at z = 1/2, so that a
    kernel that is local stays within an image, and one that is wide joins the same places of both. A learned vector
    for each of the three parts tells them apart too.
    """

    modality = "image-pair-text"
    parts = 3

    def forward(self, inputs: ImageText) -> Field:
        """Return the field of images and texts.

        Args:
            inputs: images (B, 2, C, H, W), the left one first, and B texts.

        Raises:
            ShapeError: they are something else, or one of the two encoders refuses its part.
        """
        images, texts = check_inputs(inputs, 5, "ImagePairTextEncoder(inputs)")
        both = self.image(images.transpose(0, 1).flatten(0, 1))
        left, right = (_of(both, half, z) for half, z in ((0, -HALF_DISTANCE), (1, HALF_DISTANCE)))
        fields = [self.part(0, left), self.part(1, right), self.part(2, self.text(texts))]
        return union(fields, self.config.measure)

    def example(self) -> ImageText:
        """Return the examples of its two encoders, each image and its mirror image."""
        images = self.image.example()
        return ImageText(torch.stack([images, images.flip(-1)], 1), self.text.example())


def _of(both: Field, half: int, z: float) -> Field:
    """Return one half of a batch, moved along the axis z."""

    def chosen(tensor: Tensor) -> Tensor:
        return tensor.chunk(2)[half]

    positions = chosen(both.positions).clone()
    positions[..., AXES.index("z")] += z
    return replace(both, values=chosen(both.values), positions=positions, weights=chosen(both.weights))
