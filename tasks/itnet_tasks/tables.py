"""Rows of parquet and Arrow files of any size."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, Self

import torch
from pydantic import Field as ConfigField
from torch import Tensor

from itnet_core import ComponentConfig, DataError
from itnet_tasks.files import open_data
from itnet_tasks.row_groups import ParquetTable, RecentGroups

if TYPE_CHECKING:
    from datasets import Dataset

EXPECTED = "a parquet or an Arrow file, or a folder of Dataset.save_to_disk"
SUFFIXES = (".parquet", ".arrow")

PART = 1000
"""Consecutive rows of an Arrow file that are read together where samples are shuffled in parts."""


class TableOptions(ComponentConfig):
    """Options of tasks on tables."""

    stream_gigabytes: Annotated[float, ConfigField(ge=0)] = 0.0
    """Read parquet files by row groups instead of a copy in the cache of `datasets`. Each process keeps the row
    groups that it read last, up to this size, for which the samples of `train.shuffle_buffer` should be small
    enough. 0 for the copy."""


class StoredTable(Protocol):
    """Rows of one table."""

    @property
    def parts(self) -> Sequence[int]:
        """Numbers of the consecutive rows that are read fast together."""

    @property
    def column_names(self) -> Sequence[str]:
        """Names of all columns."""

    def row(self, number: int) -> dict[str, Any]:
        """Return the columns of a row."""

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, in memory."""

    def class_names(self, name: str) -> Sequence[str] | None:
        """Return the names of a column's numbers if it is a `ClassLabel`."""


class ArrowTable:
    """A memory-mapped Arrow file of Hugging Face's `datasets`, of which no column is decoded."""

    def __init__(self, rows: Dataset, columns: Sequence[str]) -> None:
        self.column_names = rows.column_names
        self.parts = [min(PART, len(rows) - start) for start in range(0, len(rows), PART)]
        self._table = rows.select_columns([name for name in columns if name in rows.column_names]).data
        self._features = rows.features

    def row(self, number: int) -> dict[str, Any]:
        """Return the columns of a row."""
        return {name: value for name, [value] in self._table.fast_slice(number, 1).to_pydict().items()}

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, in memory."""
        values: list[Any] = self._table.column(name).to_pylist()
        return values

    def class_names(self, name: str) -> list[str] | None:
        """Return the names of a column's numbers if it is a `ClassLabel`."""
        return getattr(self._features[name], "names", None)


@dataclass(frozen=True, eq=False)
class Tables:
    """Some columns of the rows of tables: parquet files, Arrow files, or folders that `Dataset.save_to_disk` wrote.

    Hugging Face's `datasets` reads them as memory-mapped Arrow files with random access; from parquet, it writes those
    once to its own cache, or else they are read by row groups. No script and no decoder of a data set runs.

    Example:
        >>> from datasets import Dataset
        >>> _ = Dataset.from_dict({"text": ["fine", "dull"], "label": [1, 0]}).to_parquet("films.parquet")
        >>> tables = Tables.open([Path("films.parquet")], ["text", "label"])
        >>> tables.positions().tolist(), tables.row([0, 0, 1])
        ([[0, 0, 0], [0, 0, 1]], {'text': 'dull', 'label': 0})
    """

    files: Sequence[Path]
    tables: Sequence[StoredTable]

    @classmethod
    def open(cls, files: Sequence[Path], columns: Sequence[str], stream_gigabytes: float = 0.0) -> Self:
        """Open tables that have these columns.

        Args:
            files: the files and folders.
            columns: the columns to read.
            stream_gigabytes: read parquet files by row groups, of which this much stays in memory; 0 to read a copy.

        Raises:
            DataError: a file is missing, damaged, or another file, or lacks a column.
        """
        recent = RecentGroups(int(stream_gigabytes * 1e9)) if stream_gigabytes else None
        return cls(files, [_open(file, columns, recent) for file in files])

    def positions(self) -> Tensor:
        """Return the position of each row, int64 of shape (N, 3): the numbers of its part, its table, and itself."""
        parts = [(number, size) for number, table in enumerate(self.tables) for size in table.parts]
        numbers, sizes = torch.tensor(parts).unbind(1)
        rows = torch.cat([torch.arange(sum(table.parts)) for table in self.tables])
        part = torch.arange(len(parts)).repeat_interleave(sizes)
        return torch.stack((part, numbers.repeat_interleave(sizes), rows), dim=1)

    def row(self, position: Sequence[int]) -> dict[str, Any]:
        """Return the columns of the row at a position."""
        _, number, row = position
        return self.tables[number].row(row)

    def place(self, position: Sequence[int]) -> str:
        """Return the place of the row at a position, for errors."""
        _, number, row = position
        return f"{self.files[number]}, row {row}"

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, in memory."""
        return [value for table in self.tables for value in table.column(name)]

    def class_names(self, name: str) -> tuple[str, ...] | None:
        """Return the names of a column's numbers if it is a `ClassLabel`."""
        names = self.tables[0].class_names(name)
        return None if names is None else tuple(names)


def _open(path: Path, columns: Sequence[str], recent: RecentGroups | None) -> StoredTable:
    """Open a table that has these columns."""
    from datasets import Dataset

    if not path.is_dir():
        open_data(path, EXPECTED).close()
    table: StoredTable
    try:
        if path.is_dir():
            table = ArrowTable(Dataset.load_from_disk(str(path)), columns)
        elif path.suffix.lower() == ".arrow":
            table = ArrowTable(Dataset.from_file(str(path)), columns)
        elif recent is not None:
            table = ParquetTable(path, columns, recent)
        else:  # it takes the name for a pattern
            table = ArrowTable(Dataset.from_parquet(glob.escape(str(path))), columns)
    except Exception as error:  # pyarrow and datasets raise many kinds for a damaged file
        raise DataError(str(path), found=f"no such table ({error.__cause__ or error})", expected=EXPECTED) from error
    if not sum(table.parts):
        raise DataError(str(path), found="no rows", expected="at least one")
    for name in columns:
        if name not in table.column_names:
            found, expected = f"columns {', '.join(table.column_names)}", f"a column {name!r}"
            raise DataError(str(path), found=found, expected=expected, hint="Set the options that name columns.")
    return table
