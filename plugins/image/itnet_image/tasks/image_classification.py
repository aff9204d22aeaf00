"""Base of image classification: load, normalise and augment images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from PIL import Image
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt
from torch import Tensor

from itnet_tasks import Classification, one_of
from itnet_tasks.images import SUFFIXES, centre_square, decode_image, normalized_tensor, open_image, take_image
from itnet_tasks.stored import Content

if TYPE_CHECKING:  # a second of imports, which training alone needs
    from torchvision.transforms import v2

Probability = Annotated[float, ConfigField(ge=0, le=1)]
Source = Path | Content | Tensor | Image.Image
"""An image: a file, the content of one, its pixels as uint8 of shape (H, W) or (H, W, 3), or one of Pillow."""


class ImageClassification(Classification):
    """Base of tasks on square images of one size, normalised, and augmented for training.

    Attributes:
        channels: 1 for grey images, 3 for colour.
        image_size: side of the square images that encoders get, in pixels.
        normalization: mean and standard deviation of each channel, for pixels in [0, 1].
    """

    class Config(Classification.Config):
        augment: bool = True
        """Augment training images."""

        flip: Probability = 0.5
        """Probability of mirroring a training image; 0 where a mirrored image means something else."""

        rand_augment: NonNegativeInt = 0
        """Number of RandAugment's operations on each training image."""

        rand_augment_magnitude: Annotated[int, ConfigField(ge=0, le=30)] = 9
        """Strength of RandAugment's operations."""

        erase: Probability = 0.0
        """Probability of replacing a random rectangle of a training image by noise (random erasing)."""

    modality = "image"
    suffixes = SUFFIXES
    channels: int = 3
    image_size: int
    normalization: tuple[Sequence[float], Sequence[float]] = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """Channels and size of the images."""
        return {"channels": self.channels, "image_size": self.image_size}

    @property
    def shorter_side(self) -> int:
        """Length in pixels that the shorter side of an image is resized to, before its centre is cropped."""
        return self.image_size

    @abstractmethod
    def augmentation(self) -> list[v2.Transform]:
        """Return transforms to a square of `image_size` for training, in place of a resize and a centre crop."""

    def loader(self, *, training: bool) -> Callable[[Source], Tensor]:
        """Return a function from a source to a normalised image tensor (C, H, W)."""
        (mean, std), config = self.normalization, self.config
        if not (training and config.augment):
            prepare = PrepareImage(self.shorter_side, self.image_size, tuple(mean), tuple(std))
            return partial(load_image, decode=self.decode, transform=prepare)
        from torchvision.transforms import v2

        randomly = [v2.RandAugment(config.rand_augment, config.rand_augment_magnitude)] if config.rand_augment else []
        erase = [v2.RandomErasing(config.erase, value="random")] if config.erase else []
        to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(mean), list(std))]
        steps = [*self.augmentation(), *randomly, v2.RandomHorizontalFlip(config.flip), *to_tensor, *erase]
        return partial(load_image, decode=self.decode, transform=v2.Compose([*steps, v2.ToPureTensor()]))

    def decode(self, source: Any) -> Image.Image:
        """Return the whole image of a source.

        Raises:
            DataError: the source is a file, or the content of one, without an intact image.
        """
        if isinstance(source, Path):
            return open_image(source, self.channels)
        if isinstance(source, Content):
            return decode_image(BytesIO(source.data), self.channels, source.place)
        return Image.fromarray(source.numpy()) if isinstance(source, Tensor) else source

    def source_of(self, value: Any) -> Source:
        """Return a user's image: one of Pillow, or an array; a row of a table names it `image`.

        Raises:
            DataError: it is another value.
        """
        value = one_of(value, "image")
        return value if isinstance(value, Path) else take_image(value, self.channels)


@dataclass(frozen=True)
class PrepareImage:
    """A function that prepares an image for evaluation, as an encoder's input (C, H, W).

    Attributes:
        shorter: length that the shorter side is resized to, in pixels.
        side: of the square that is cropped from the centre, in pixels.
        mean: of each channel, for pixels in [0, 1].
        std: standard deviation of each channel.
    """

    shorter: int
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Image.Image) -> Tensor:
        """Resize, crop and normalise an image."""
        return normalized_tensor(centre_square(image, self.shorter, self.side), self.mean, self.std)


def load_image(
    source: Any, *, decode: Callable[[Any], Image.Image], transform: Callable[[Image.Image], Tensor]
) -> Tensor:
    """Decode and transform an image."""
    return transform(decode(source))
