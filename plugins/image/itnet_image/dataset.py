"""Labelled pictures as a torch dataset, and how they are split."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from itnet_core import DataError
from itnet_image.files import open_picture

OnBadSample = Literal["refuse", "skip"]
Source = Path | Tensor
"""Where a picture is: a file, or its pixels as uint8 of shape (H, W) or (H, W, 3)."""


class Sample(NamedTuple):
    """A picture (C, H, W) as an encoder reads it, and its class; `None` where it is not known."""

    picture: Tensor
    label: int | None


class PictureDataset(Dataset[Sample | None]):
    """Pictures with their classes.

    Args:
        sources: where each picture is.
        labels: the class of each.
        channels: 1 (grey) or 3 (RGB).
        transform: from a PIL picture to the tensor that an encoder reads.
        on_bad_sample: what to do about a picture that cannot be read: `refuse` raises the `DataError` that names it;
            `skip` warns with the same words and gives `None`, which `collate` leaves out.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        labels: Sequence[int],
        *,
        channels: int,
        transform: Callable[[Image.Image], Tensor],
        on_bad_sample: OnBadSample = "refuse",
    ) -> None:
        self.sources, self.labels = sources, labels
        self.channels, self.transform, self.on_bad_sample = channels, transform, on_bad_sample

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> Sample | None:
        source = self.sources[index]
        try:
            picture = open_picture(source, self.channels) if isinstance(source, Path) else as_picture(source)
        except DataError as error:
            if self.on_bad_sample == "refuse":
                raise
            warnings.warn(f"skipped a sample. {error}", stacklevel=2)
            return None
        return Sample(self.transform(picture), int(self.labels[index]))


def as_picture(pixels: Tensor) -> Image.Image:
    """Return pixels, uint8 of shape (H, W) or (H, W, 3), as a PIL picture."""
    return Image.fromarray(pixels.numpy())


def stratified(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices of the rest, and of a seeded part with `share` of every class (at least one of each)."""
    random = torch.Generator().manual_seed(seed)
    rest, part = [], []
    for label in range(int(labels.max()) + 1):
        members = (labels == label).nonzero().squeeze(1)
        members = members[torch.randperm(len(members), generator=random)]
        count = min(len(members), max(1, round(share * len(members))))
        part.append(members[:count])
        rest.append(members[count:])
    return torch.cat(rest).sort().values, torch.cat(part).sort().values
