"""Check batches of images with texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from itnet_core import ShapeError


class ImageText(NamedTuple):
    """A batch of images with texts, the input of the encoders.

    Attributes:
        images: shape (B, C, H, W), or (B, 2, C, H, W) for two images per text.
        texts: B texts.
    """

    images: Tensor
    texts: Sequence[str]


def check_inputs(inputs: Any, rank: int, place: str) -> ImageText:
    """Check that inputs are images of a rank with as many texts; the encoders of each modality check the contents.

    Raises:
        ShapeError: the inputs are not an `ImageText`, or the numbers of images and texts differ.
    """
    shape = "(B, C, H, W)" if rank == 4 else "(B, 2, C, H, W)"
    expected = f"images of shape {shape} and a list of B texts"
    if not isinstance(inputs, tuple) or len(inputs) != 2 or not isinstance(inputs[0], Tensor):
        found = type(inputs).__name__
        raise ShapeError(place, found=found, expected=expected, hint="Pass ImageText(images, texts).")
    images, texts = inputs
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise ShapeError(place, found=f"texts that are {type(texts).__name__}", expected=expected)
    if images.ndim != rank or (rank == 5 and images.shape[1] != 2) or len(images) != len(texts):
        found = f"images of shape {tuple(images.shape)} and {len(texts)} texts"
        raise ShapeError(place, found=found, expected=expected)
    return ImageText(images, texts)
