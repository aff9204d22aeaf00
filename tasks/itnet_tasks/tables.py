"""Rows of parquet and Arrow files of any size."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from itnet_core import DataError
from itnet_tasks.files import open_data

if TYPE_CHECKING:
    from datasets import Dataset

EXPECTED = "a parquet or an Arrow file, or a folder of Dataset.save_to_disk"
SUFFIXES = (".parquet", ".arrow")

PART = 1000
"""Consecutive rows that are read together where samples are shuffled in parts."""


@dataclass(frozen=True, eq=False)
class Tables:
    """Some columns of the rows of tables: parquet files, Arrow files, or folders that `Dataset.save_to_disk` wrote.

    Hugging Face's `datasets` reads them as memory-mapped Arrow files with random access; from parquet, it writes those
    once to its own cache. No script and no decoder of a data set runs.

    Example:
        >>> from datasets import Dataset
        >>> _ = Dataset.from_dict({"text": ["fine", "dull"], "label": [1, 0]}).to_parquet("films.parquet")
        >>> tables = Tables.open([Path("films.parquet")], ["text", "label"])
        >>> tables.positions().tolist(), tables.row([0, 0, 1])
        ([[0, 0, 0], [0, 0, 1]], {'text': 'dull', 'label': 0})
    """

    files: Sequence[Path]
    tables: Sequence[Dataset]

    @classmethod
    def open(cls, files: Sequence[Path], columns: Sequence[str]) -> Self:
        """Open tables that have these columns.

        Raises:
            DataError: a file is missing, damaged, or another file, or lacks a column.
        """
        return cls(files, [_open(file, columns) for file in files])

    def positions(self) -> Tensor:
        """Return the position of each row, int64 of shape (N, 3): the numbers of its part, its table, and itself."""
        found, parts = [], 0
        for number, table in enumerate(self.tables):
            rows = torch.arange(len(table))
            found.append(torch.stack((parts + rows // PART, torch.full_like(rows, number), rows), dim=1))
            parts += -(-len(table) // PART)
        return torch.cat(found)

    def row(self, position: Sequence[int]) -> dict[str, Any]:
        """Return the columns of the row at a position."""
        _, number, row = position
        return {name: value for name, [value] in self.tables[number][row].to_pydict().items()}

    def place(self, position: Sequence[int]) -> str:
        """Return the place of the row at a position, for errors."""
        _, number, row = position
        return f"{self.files[number]}, row {row}"

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, in memory."""
        return [value for table in self.tables for value in table.data.column(name).to_pylist()]

    def class_names(self, name: str) -> tuple[str, ...] | None:
        """Return the names of a column's numbers if it is a `ClassLabel`."""
        names = getattr(self.tables[0].features[name], "names", None)
        return None if names is None else tuple(names)


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
            raise DataError(str(path), found=found, expected=expected, hint="Set the options that name columns.")
    return table.select_columns(list(columns)).with_format("arrow")
