"""Classification of your own images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from itnet_image.tasks.photographs import Photographs
from itnet_tasks import FolderClassification


class ImageFolder(FolderClassification, Photographs):
    """Images of any size in one folder per class; see `FolderClassification` for the layouts.

    A file whose suffix is not that of an image is skipped with a warning. A file with the suffix of an image that is
    not an image is a bad sample.

    Example:
        >>> from PIL import Image
        >>> from tempfile import TemporaryDirectory
        >>> from pathlib import Path
        >>> with TemporaryDirectory() as root:
        ...     for name in ("cat", "dog"):
        ...         (Path(root) / name).mkdir()
        ...         for i in range(5):
        ...             Image.new("RGB", (40, 30)).save(Path(root) / name / f"{i}.png")
        ...     task = ImageFolder(root=root, image_size=32)
        ...     task.classes, len(task.dataset("train")), task.dataset("test")[0].inputs.shape
        (('cat', 'dog'), 6, torch.Size([3, 32, 32]))
    """

    class Config(FolderClassification.Config, Photographs.Config):
        channels: Literal[1, 3] = 3
        """1 to read grey images, 3 for colour."""

    @property
    def channels(self) -> int:  # type: ignore[override]
        """1 for grey, 3 for colour."""
        return self.config.channels

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:  # type: ignore[override]
        """ImageNet's mean and standard deviation for colour, and their averages for grey."""
        return Photographs.normalization if self.channels == 3 else ([0.449], [0.226])
