"""Images of any size, one file each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field as ConfigField
from pydantic import NonNegativeInt, PositiveInt
from torchvision.transforms import v2

from itnet_image.tasks.image_classification import ImageClassification

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
"""Of the files that are taken for images; what they hold decides how they are decoded."""


class Photographs(ImageClassification):
    """Base of data sets of photographs in files: resized and cropped for evaluation, cropped at random for training."""

    class Config(ImageClassification.Config):
        root: str
        """The folder that holds them."""

        image_size: PositiveInt = 224
        """Images are resized and cropped to squares of this side, in pixels."""

        smallest_crop: Annotated[float, ConfigField(gt=0, le=1)] = 0.35
        """Training crops at random, and keeps at least this share of an image's area."""

        rand_augment: NonNegativeInt = 0
        """Number of RandAugment's operations on each training image."""

    @property
    def image_size(self) -> int:  # type: ignore[override]
        """Side of the images in pixels."""
        return self.config.image_size

    def preparation(self) -> list[v2.Transform]:
        """Return a centre crop after resizing the shorter side to 8/7 of the image's size, as is common."""
        return [v2.Resize(self.image_size * 8 // 7), v2.CenterCrop(self.image_size)]

    def augmentation(self) -> list[v2.Transform]:
        """Return random crops of varying scale, and RandAugment."""
        crop = v2.RandomResizedCrop(self.image_size, scale=(self.config.smallest_crop, 1.0))
        return [crop, v2.RandAugment(self.config.rand_augment)] if self.config.rand_augment else [crop]
