"""Classification of images in WebDataset shards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor

from itnet_core import DataError
from itnet_image.tasks.large_files import LargeFiles, Rows
from itnet_tasks.images import SUFFIXES, decode_image
from itnet_tasks.shards import index_shard, member_name, read_member


class ImageShards(LargeFiles):
    """Images in WebDataset shards: tar files with an image and a label of each sample, `000123.jpg` and `000123.cls`.

    The shards are indexed at the start, and samples read by their offset. So they need not be unpacked, and shuffling,
    resume and the number of processes are those of any data. `train.shuffle_buffer` reads shard by shard.

    Example:
        >>> import tarfile
        >>> from io import BytesIO
        >>> def add(tar, name, content):
        ...     member = tarfile.TarInfo(name)
        ...     member.size = len(content)
        ...     tar.addfile(member, BytesIO(content))
        >>> with tarfile.open("pets-0.tar", "w") as tar:
        ...     for number in range(10):
        ...         file = BytesIO()
        ...         Image.new("RGB", (40, 30)).save(file, "png")
        ...         add(tar, f"{number}.png", file.getvalue())
        ...         add(tar, f"{number}.cls", b"cat" if number % 2 else b"dog")
        >>> task = ImageShards(train="pets-*.tar", image_size=32)
        >>> task.classes, len(task.dataset("train")), task.dataset("test")[0].inputs.shape
        (('cat', 'dog'), 6, torch.Size([3, 32, 32]))
    """

    class Config(LargeFiles.Config):
        image: str | None = None
        """Ending of the images' members, such as `jpg` or `left.png`; by default every ending of an image."""

        label: str = "cls"
        """Ending of the labels' members, whose content is the number or the name of a class."""

        label_field: str | None = None
        """Field of the label, where these members are JSON objects."""

        def completed(self) -> Self:
            """Fill in `classes` from the shards, if they exist already."""
            return self.complete(ImageShards)

    def rows(self, files: Sequence[Path]) -> Rows:
        """List the samples of shards."""
        endings = [suffix.lstrip(".") for suffix in SUFFIXES] if self.config.image is None else [self.config.image]
        first, label = len(self._shards), self.config.label
        self._shards.extend(files)
        found = [
            (number, sample)
            for number, file in enumerate(files, start=first)
            for sample in index_shard(file, endings, label)
        ]
        return Rows(
            torch.tensor([(number, sample.offset, sample.size) for number, sample in found]),
            [self._label(sample.label) for _, sample in found],
            lambda index: f"{self._shards[found[index][0]]}, sample {found[index][1].key}",
            {index: "no image" for index, (_, sample) in enumerate(found) if not sample.size},
        )

    def decode(self, source: Any) -> Image.Image:
        """Return the image of a sample, or of another source."""
        if not (isinstance(source, Tensor) and source.dtype == torch.int64):
            return super().decode(source)
        number, offset, size = source.tolist()
        shard = self._shards[number]
        content = read_member(shard, offset, size)
        try:
            return decode_image(BytesIO(content), self.channels, str(shard))
        except DataError as error:
            error.place = f"{shard}, {member_name(shard, offset)}"
            raise

    @cached_property
    def _shards(self) -> list[Path]:
        """The shards of all splits, which sources number."""
        return []

    def _label(self, content: str | None) -> Any:
        field = self.config.label_field
        if field is None or content is None:
            return content
        try:
            return json.loads(content)[field]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
