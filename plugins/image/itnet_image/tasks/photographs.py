"""Base of data sets of image files of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field as ConfigField
from pydantic import PositiveInt

from itnet_image.tasks.image_classification import ImageClassification

if TYPE_CHECKING:
    from torchvision.transforms import v2


class Photographs(ImageClassification):
    """Base of data sets of photographs: resized and cropped for evaluation, cropped at random for training."""

    class Config(ImageClassification.Config):
        root: str
        """Folder of the images."""

        image_size: PositiveInt = 224
        """Side of the square that images are resized and cropped to, in pixels."""

        smallest_crop: Annotated[float, ConfigField(gt=0, le=1)] = 0.35
        """Smallest share of an image's area that a random training crop keeps."""

    @property
    def image_size(self) -> int:  # type: ignore[override]
        """Side of the images in pixels."""
        return self.config.image_size

    @property
    def shorter_side(self) -> int:
        """8/7 of `image_size`, as is common."""
        return self.image_size * 8 // 7

    def augmentation(self) -> list[v2.Transform]:
        """Return random resized crops."""
        from torchvision.transforms import v2

        return [v2.RandomResizedCrop(self.image_size, scale=(self.config.smallest_crop, 1.0))]


class OwnPhotographs(Photographs):
    """Base of users' own data sets of photographs."""

    class Config(Photographs.Config):
        channels: Literal[1, 3] = 3
        """1 to read grey images, 3 for colour."""

    @property
    def channels(self) -> int:  # type: ignore[override]
        """1 for grey, 3 for colour."""
        return self.config.channels

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:  # type: ignore[override]
        """ImageNet's mean and standard deviation for colour, and their averages for grey."""
        return Photographs.normalization if self.channels == 3 else ([0.449], [0.226])
