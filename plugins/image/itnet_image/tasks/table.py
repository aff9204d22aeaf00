"""Classification of images in the tables of Hugging Face datasets."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from PIL import Image
from torch import Tensor

from itnet_core import DataError
from itnet_image.tasks.large_files import LargeFiles, Rows
from itnet_tasks import open_data
from itnet_tasks.images import decode_image

if TYPE_CHECKING:
    from datasets import Dataset

EXPECTED = "a parquet or an Arrow file, or a folder of Dataset.save_to_disk"

PART = 1000
"""Consecutive rows that are read together where samples are shuffled in parts."""


class ImageTable(LargeFiles):
    """Images in a column of tables: parquet files, Arrow files, or folders that `Dataset.save_to_disk` wrote.

    Tables are read by Hugging Face's `datasets`, as memory-mapped Arrow files with random access; from parquet, it
    writes those once to its own cache. No script and no decoder of a data set runs: the bytes of an image are decoded
    as those of a file.

    Example:
        >>> from datasets import ClassLabel, Dataset
        >>> file = BytesIO()
        >>> Image.new("RGB", (40, 30)).save(file, "png")
        >>> images = Dataset.from_dict({"image": [{"bytes": file.getvalue()}] * 10, "label": [0, 1] * 5})
        >>> _ = images.cast_column("label", ClassLabel(names=["cat", "dog"])).to_parquet("pets.parquet")
        >>> task = ImageTable(train="pets.parquet", image_size=32)
        >>> task.classes, len(task.dataset("train")), task.dataset("test")[0].inputs.shape
        (('cat', 'dog'), 6, torch.Size([3, 32, 32]))
    """

    class Config(LargeFiles.Config):
        image: str = "image"
        """Column of the images: their bytes, or mappings with a field `bytes`."""

        label: str = "label"
        """Column of the labels: the numbers or the names of classes."""

        def completed(self) -> Self:
            """Fill in `classes` from the tables, if they exist already."""
            return self.complete(ImageTable)

    def rows(self, files: Sequence[Path]) -> Rows:
        """List the rows of tables."""
        first, columns = len(self._tables), [self.config.image, self.config.label]
        tables = [_open(file, columns) for file in files]
        self._tables.extend(zip(files, tables, strict=True))
        lengths = [torch.arange(len(table)) for table in tables]
        sources = [
            torch.stack((rows // PART, torch.full_like(rows, number), rows), dim=1)
            for number, rows in enumerate(lengths, start=first)
        ]
        names = getattr(tables[0].features[self.config.label], "names", None)  # of a ClassLabel
        return Rows(
            torch.cat(sources),
            [label for table in tables for label in table.data.column(self.config.label).to_pylist()],
            lambda index: self._place(*torch.cat(sources)[index].tolist()),
            classes=None if names is None else tuple(names),
        )

    def decode(self, source: Any) -> Image.Image:
        """Return the image of a row, or of another source."""
        if not (isinstance(source, Tensor) and source.dtype == torch.int64):
            return super().decode(source)
        part, number, row = source.tolist()
        [value] = self._tables[number][1][row][self.config.image].to_pylist()
        content = value.get("bytes") if isinstance(value, Mapping) else value
        place = self._place(part, number, row)
        if not isinstance(content, bytes):
            # A path is not opened: it could name any file of this machine.
            kind = "a path" if isinstance(value, str) or (isinstance(value, Mapping) and value.get("path")) else "none"
            found, expected = f"{kind} in column {self.config.image!r}", "the bytes of an image"
            raise DataError(place, found=found, expected=expected, hint="Dataset.save_to_disk embeds the images.")
        return decode_image(BytesIO(content), self.channels, place)

    def _place(self, part: int, number: int, row: int) -> str:
        return f"{self._tables[number][0]}, row {row}"

    @cached_property
    def _tables(self) -> list[tuple[Path, Dataset]]:
        """The tables of all splits, which sources number."""
        return []


def _open(path: Path, columns: Sequence[str]) -> Dataset:
    """Open a table in the format `arrow`, in which no column is decoded."""
    from datasets import Dataset

    if not path.is_dir():
        open_data(path, EXPECTED).close()
    try:
        if path.is_dir():
            table = Dataset.load_from_disk(str(path))
        elif path.suffix.lower() == ".arrow":
            table = Dataset.from_file(str(path))
        else:
            table = Dataset.from_parquet(glob.escape(str(path)))  # which it takes for a pattern
    except Exception as error:  # pyarrow and datasets raise many kinds for a damaged file
        raise DataError(str(path), found=f"no such table ({error.__cause__ or error})", expected=EXPECTED) from error
    for name in columns:
        if name not in table.column_names:
            found, expected = f"columns {', '.join(table.column_names)}", f"a column {name!r}"
            raise DataError(str(path), found=found, expected=expected, hint="Set image and label to their columns.")
    return table.select_columns(list(columns)).with_format("arrow")
