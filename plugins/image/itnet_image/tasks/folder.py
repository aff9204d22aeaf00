"""Classification of your own images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from itnet_image.tasks.photographs import OwnPhotographs
from itnet_tasks import FolderClassification

SIDES = (224, 128, 64, 32)
"""Sizes of images that `itnet init` tries, where the images have as many pixels."""


class ImageFolder(FolderClassification, OwnPhotographs):
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

    class Config(FolderClassification.Config, OwnPhotographs.Config):
        pass

    kind = "images"

    @classmethod
    def propose(cls, files: Sequence[Path]) -> tuple[str, Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]]:
        """Return the median size, and stems that leave at most 16 × 16 points of it or of less."""
        sizes, grey = [], []
        for file in files:
            with suppress(OSError, ValueError), Image.open(file) as image:
                sizes.append(image.size)
                grey.append(image.mode in ("1", "L", "I;16"))
        if not sizes:
            return "", ()
        width, height = (int(median(side)) for side in zip(*sizes, strict=True))
        channels, configs = {"channels": 1} if all(grey) else {}, []
        for side in dict.fromkeys(min(side, width, height) for side in SIDES):
            halvings = max(1, math.ceil(math.log2(side / 16)))
            encoder = {"name": "itnet-image/conv-stem", "strides": [2] * halvings}
            size = max(8, side // 2**halvings * 2**halvings)
            configs.append(({"preset": "itnet-core/itnet-nano", "encoder": encoder}, {"image_size": size, **channels}))
        return f", of {width} × {height} pixels", configs
