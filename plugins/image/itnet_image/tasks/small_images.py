"""Base of data sets of small images of one size, kept in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from itnet_core import DataError
from itnet_image.tasks.image_classification import ImageClassification
from itnet_tasks import Labelled, warn_skipped

if TYPE_CHECKING:
    from torchvision.transforms import v2


class SmallImages(ImageClassification):
    """Base of data sets that are published as a few files of many small images.

    A damaged file is refused even with `on_bad_sample: skip`: it contains thousands of samples, and is quickly
    downloaded again.
    """

    class Config(ImageClassification.Config):
        shift: NonNegativeInt = 0
        """Largest random shift of a training image along each axis, in pixels; the border is black."""

    def augmentation(self) -> list[v2.Transform]:
        """Return a random shift."""
        from torchvision.transforms import v2

        centre = [v2.Resize(self.shorter_side), v2.CenterCrop(self.image_size)]
        return [*centre, v2.RandomCrop(self.image_size, padding=self.config.shift)]

    def labelled(self, pixels: Any, labels: Any, place: str) -> Labelled:
        """Pair images with their labels; a label that is not a class makes a bad sample.

        Args:
            pixels: uint8, shape (N, H, W) or (N, H, W, 3).
            labels: whole numbers, shape (N,).
            place: the file, for errors.

        Raises:
            DataError: the numbers of labels and images differ or are 0, or a label is not a class and `on_bad_sample`
                is `refuse`.
        """
        pixels = torch.as_tensor(pixels, dtype=torch.uint8)
        numbers: Tensor = torch.as_tensor(labels, dtype=torch.int64)
        if len(pixels) != len(numbers) or not len(numbers):
            raise DataError(
                place,
                found=f"{len(pixels)} images and {len(numbers)} labels",
                expected="as many labels as images, and at least one",
                hint="Fetch the files again.",
            )
        good = (numbers >= 0) & (numbers < len(self.classes))
        if good.all():
            return Labelled(pixels, numbers)
        error = DataError(
            place,
            found=f"the label {int(numbers[~good][0])} in record {int((~good).nonzero()[0])}",
            expected=f"labels from 0 to {len(self.classes) - 1}",
            hint="Fetch the files again, or leave such records out with on_bad_sample: skip.",
        )
        if self.config.on_bad_sample == "refuse" or not good.any():
            raise error
        warn_skipped(int((~good).sum()), len(good), str(error))
        return Labelled(pixels, numbers).select(good.nonzero().squeeze(1))
