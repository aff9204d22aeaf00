"""What all tasks of classifying images share: how an image becomes the tensor that an encoder reads."""

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
"""Where an image is: a file, or its pixels as uint8 of shape (H, W) or (H, W, 3)."""


class ImageClassification(Classification):
    """Base of the tasks: square images of one size, normalised, and augmented for training.

    Attributes:
        channels: 1 for grey images, 3 for colour.
        image_size: side of the square images that encoders get, in pixels.
        normalization: mean and standard deviation of each channel, for pixels in [0, 1].
    """

    class Config(Classification.Config):
        augment: bool = True
        """Whether training images are augmented at all."""

        flip: Probability = 0.5
        """Probability of mirroring a training image; 0 where a mirrored image shows something else."""

    modality = "image"
    channels: int = 3
    image_size: int
    normalization: tuple[Sequence[float], Sequence[float]] = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """The images' channels and size."""
        return {"channels": self.channels, "image_size": self.image_size}

    def preparation(self) -> list[v2.Transform]:
        """Return how any image becomes a square of `image_size` for evaluation."""
        return [v2.Resize(self.image_size), v2.CenterCrop(self.image_size)]

    @abstractmethod
    def augmentation(self) -> list[v2.Transform]:
        """Return how any image becomes a square of `image_size` for training, in place of `preparation`."""

    def loader(self, *, training: bool) -> Callable[[Source], Tensor]:
        """Return what makes of a source a normalised image (C, H, W)."""
        augmented = training and self.config.augment
        steps = [*self.augmentation(), v2.RandomHorizontalFlip(self.config.flip)] if augmented else self.preparation()
        mean, std = self.normalization
        to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(mean), list(std))]
        transform = v2.Compose([*steps, *to_tensor, v2.ToPureTensor()])
        return partial(load_image, channels=self.channels, transform=transform)


def load_image(source: Source, *, channels: int, transform: v2.Transform) -> Tensor:
    """Return a transformed image.

    Raises:
        DataError: the source is a file that is no sound image.
    """
    image = open_image(source, channels) if isinstance(source, Path) else Image.fromarray(source.numpy())
    return transform(image)
