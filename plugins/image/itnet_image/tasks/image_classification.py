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
        augmented = training and self.config.augment
        steps = [*self.augmentation(), v2.RandomHorizontalFlip(self.config.flip)] if augmented else self.preparation()
        mean, std = self.normalization
        to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(mean), list(std))]
        transform = v2.Compose([*steps, *to_tensor, v2.ToPureTensor()])
        return partial(load_image, channels=self.channels, transform=transform)


def load_image(source: Source, *, channels: int, transform: v2.Transform) -> Tensor:
    """Load and transform an image.

    Raises:
        DataError: the source is a file that contains no intact image.
    """
    image = open_image(source, channels) if isinstance(source, Path) else Image.fromarray(source.numpy())
    return transform(image)
