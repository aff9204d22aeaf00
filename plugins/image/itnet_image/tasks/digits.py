"""scikit-learn's digits."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch

from itnet_image.tasks.image_classification import Probability
from itnet_image.tasks.small_images import SmallImages
from itnet_tasks import Labelled, split

if TYPE_CHECKING:
    from torchvision.transforms import v2


class Digits(SmallImages):
    """1,797 grey images of 8 × 8 pixels of handwritten digits, light on dark, bundled with scikit-learn.

    A fixed fifth of every class is the test split.

    Example:
        >>> task = Digits()
        >>> image, label = task.dataset("test")[0]
        >>> image.shape, task.classes[label]
        (torch.Size([1, 8, 8]), '1')
    """

    class Config(SmallImages.Config):
        flip: Probability = 0.0
        """Probability of mirroring a training image; a mirrored digit is not a digit."""

    channels = 1
    image_size = 8
    normalization = ([0.5], [0.5])
    classes = tuple("0123456789")

    def augmentation(self) -> list[v2.Transform]:
        """Return small rotations, scalings and shifts of less than a pixel, which keep every stroke in the image."""
        from torchvision.transforms import v2

        affine = v2.RandomAffine(
            8, translate=(0.05, 0.05), scale=(0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR
        )
        return [*super().augmentation(), affine]

    def training(self) -> Labelled:
        """Return four fifths of the images."""
        return self._parts[0]

    def test(self) -> Labelled:
        """Return a fifth of the images."""
        return self._parts[1]

    @cached_property
    def _parts(self) -> tuple[Labelled, Labelled]:
        from sklearn.datasets import load_digits  # a second of imports

        data = load_digits()
        pixels = (torch.as_tensor(data.images) * (255 / 16)).round()  # 17 levels of grey to 8 bits
        everything = self.labelled(pixels, data.target, "sklearn.datasets.load_digits")
        return split(everything, share=0.2, seed=0)
