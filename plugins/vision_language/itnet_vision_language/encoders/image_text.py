"""Encoder of an image and a text as one field."""

from __future__ import annotations

from itnet_core import Field, union
from itnet_vision_language.encoders.joint_encoder import JointEncoder
from itnet_vision_language.encoders.stack_fields import stack_fields
from itnet_vision_language.inputs import ImageText, check_inputs


class ImageTextEncoder(JointEncoder):
    """The union of an image's field and a text's field: the trunk integrates over both, without a fusion module.

    Without the union, the fields are stacked along the batch, B images and then B texts, so that one trunk encodes both
    separately, for contrastive learning.

    Example:
        >>> import torch
        >>> encoder = ImageTextEncoder(64, image={"name": "patch", "patch_size": 8})
        >>> inputs = ImageText(torch.rand(2, 3, 32, 32), ["a red chair", "a table"])
        >>> encoder(inputs).values.shape
        torch.Size([2, 27, 64])
    """

    modality = "image-text"
    axes = "txy"
    united = ("image", "text")

    class Config(JointEncoder.Config):
        union: bool = True
        """Whether to unite the two fields (B samples). Otherwise they are stacked along the batch (2B samples), and
        `measure` has no effect."""

    def forward(self, inputs: ImageText) -> Field:
        """Encode images with texts as B samples, or as 2B without the union.

        Args:
            inputs: images (B, C, H, W) and B texts.

        Raises:
            ShapeError: the inputs have another form, or an inner encoder refuses its part.
        """
        images, texts = check_inputs(inputs, 4, "ImageTextEncoder(inputs)")
        fields = [self.part(0, self.image(images)), self.part(1, self.text(texts))]
        return union(fields, self.config.measure) if self.config.union else stack_fields(fields)

    def example(self) -> ImageText:
        """Return the examples of the inner encoders."""
        return ImageText(self.image.example(), self.text.example())
