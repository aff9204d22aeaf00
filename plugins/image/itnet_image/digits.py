"""scikit-learn's digits."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import torch
from sklearn.datasets import load_digits

from itnet_image.classification import ImageClassification, Labelled, labelled_arrays
from itnet_image.dataset import stratified


class Digits(ImageClassification):
    """1,797 grey pictures of 8 × 8 pixels of handwritten digits, bundled with scikit-learn: nothing is downloaded.

    A fifth of every class, chosen once and for all, is the test split.
    """

    channels = 1
    image_size = 8
    normalization = ([0.5], [0.5])
    flip = False
    shift: ClassVar[int] = 1

    @property
    def classes(self) -> list[str]:
        """The ten digits."""
        return [str(digit) for digit in range(10)]

    def training(self) -> Labelled:
        """Return four fifths of the pictures."""
        return self._parts[0]

    def test(self) -> Labelled:
        """Return a fifth of the pictures."""
        return self._parts[1]

    @cached_property
    def _parts(self) -> tuple[Labelled, Labelled]:
        data = load_digits()
        pixels = (torch.as_tensor(data.images) * (255 / 16)).round()  # 17 levels of grey to 8 bits
        everything = labelled_arrays(pixels, data.target)
        rest, test = stratified(everything.labels, share=0.2, seed=0)
        return everything.select(rest), everything.select(test)
