"""scikit-learn's digits."""

from __future__ import annotations

from functools import cached_property

import torch
from pydantic import NonNegativeInt
from sklearn.datasets import load_digits

from itnet_image.dataset import Labelled
from itnet_image.small_pictures import SmallPictures
from itnet_image.splits import stratified


class Digits(SmallPictures):
    """1,797 grey pictures of 8 × 8 pixels of handwritten digits, light on dark, bundled with scikit-learn.

    A fifth of every class, chosen once and for all, is the test split.
    """

    class Config(SmallPictures.Config):
        """As `SmallPictures.Config`; a mirrored digit is none, so `flip` is 0."""

        flip: float = 0.0
        shift: NonNegativeInt = 1

    channels = 1
    image_size = 8
    normalization = ([0.5], [0.5])
    classes = tuple("0123456789")

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
        everything = self.labelled(pixels, data.target, "sklearn.datasets.load_digits")
        rest, test = stratified(everything.labels, share=0.2, seed=0)
        return everything.select(rest), everything.select(test)
