"""Base of image classification: load, normalise and augment images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from PIL import Image
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt
from torch import Tensor
from torchvision.transforms import v2

from itnet_tasks import Classification
from itnet_tasks.images import open_image

Probability = Annotated[float, ConfigField(ge=0, le=1)]
Source = Path | Tensor
"""An image: a file, or its pixels as uint8 of shape (H, W) or (H, W, 3)."""


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
    channels: int = 3
    image_size: int
    normalization: tuple[Sequence[float], Sequence[float]] = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """Channels and size of the images."""
        return {"channels": self.channels, "image_size": self.image_size}

    def preparation(self) -> list[v2.Transform]:
        """Return transforms to a square of `image_size` for evaluation."""
        return [v2.Resize(self.image_size), v2.CenterCrop(self.image_size)]

    @abstractmethod
    def augmentation(self) -> list[v2.Transform]:
        """Return transforms to a square of `image_size` for training, in place of `preparation`."""

    def loader(self, *, training: bool) -> Callable[[Source], Tensor]:
        """Return a function from a source to a normalised image tensor (C, H, W)."""
        (mean, std), config, steps, erase = self.normalization, self.config, self.preparation(), []
        if training and config.augment:
            operations = [v2.RandAugment(config.rand_augment, config.rand_augment_magnitude)]
            steps = [
                *self.augmentation(),
                *(operations if config.rand_augment else []),
                v2.RandomHorizontalFlip(config.flip),
            ]
            erase = [v2.RandomErasing(config.erase, value="random")] if config.erase else []
        to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(mean), list(std))]
        transform = v2.Compose([*steps, *to_tensor, *erase, v2.ToPureTensor()])
        return partial(load_image, channels=self.channels, transform=transform)


def load_image(source: Source, *, channels: int, transform: v2.Transform) -> Tensor:
    """Load and transform an image.

    Raises:
        DataError: the source is a file that contains no intact image.
    """
    image = open_image(source, channels) if isinstance(source, Path) else Image.fromarray(source.numpy())
    return transform(image)
