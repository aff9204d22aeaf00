"""An image and a text as one field."""

from __future__ import annotations

from itnet_core import Field, union
from itnet_vision_language.encoders.joint_encoder import JointEncoder
from itnet_vision_language.encoders.stacked import stacked
from itnet_vision_language.inputs import ImageText, check_inputs


class ImageTextEncoder(JointEncoder):
    """The union of an image's field and a text's: the trunk integrates over both, and needs no fusion module.

    Without the union both fields come one after the other along the batch, B images and then B texts, so that the one
    trunk encodes each without seeing the other, for contrastive learning.
    """

    modality = "image-text"
    axes = "txy"
    parts = 2

    class Config(JointEncoder.Config):
        union: bool = True
        """Whether the two fields are united (B samples), or stacked along the batch (2B samples). The measure is the
        union's."""

    def forward(self, inputs: ImageText) -> Field:
        """Return the field of the images and the texts, of B samples, or of 2B without the union.

        Args:
            inputs: images (B, C, H, W) and B texts.

        Raises:
            ShapeError: they are something else, or one of the two encoders refuses its part.
        """
        images, texts = check_inputs(inputs, 4, "ImageTextEncoder(inputs)")
        fields = [self.part(0, self.image(images)), self.part(1, self.text(texts))]
        return union(fields, self.config.measure) if self.config.union else stacked(fields)

    def example(self) -> ImageText:
        """Return the examples of its two encoders."""
        return ImageText(self.image.example(), self.text.example())
