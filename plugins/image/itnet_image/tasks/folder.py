"""A user's own images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from itnet_image.tasks.photographs import SUFFIXES, Photographs
from itnet_tasks import FolderClassification


class ImageFolder(FolderClassification, Photographs):
    """Images of any size in a folder for each class; see `FolderClassification` for the layouts.

    Files that do not have an image's suffix are left out with a warning; those that have one and are no images are
    bad samples.
    """

    class Config(FolderClassification.Config, Photographs.Config):
        channels: Literal[1, 3] = 3
        """1 to read grey images, 3 for colour."""

    suffixes = SUFFIXES

    @property
    def channels(self) -> int:  # type: ignore[override]
        """1 for grey, 3 for colour."""
        return self.config.channels

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:  # type: ignore[override]
        """ImageNet's for colour."""
        return Photographs.normalization if self.channels == 3 else ([0.449], [0.226])
