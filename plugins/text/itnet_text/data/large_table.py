"""Rows of texts in parquet and Arrow files, which are read on access."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Self

from itnet_tasks.data_files import data_files
from itnet_tasks.tables import SUFFIXES, Tables


def is_large(names: str) -> bool:
    """Return whether names of files are those of parquet or Arrow files, or of a folder of `Dataset.save_to_disk`."""
    return PurePath(names).suffix.lower() in SUFFIXES or (Path(names).expanduser() / "dataset_info.json").is_file()


@dataclass(frozen=True, eq=False)
class LargeTable:
    """Some columns of tables of any size. The numbers of a `ClassLabel` are read as their names.

    Attributes:
        tables: the tables, with these columns.
        names: names of the classes, by the columns that have some.
    """

    tables: Tables
    names: dict[str, tuple[str, ...]]

    @classmethod
    def open(cls, names: str, columns: Sequence[str], stream_gigabytes: float = 0.0, *, download: bool = False) -> Self:
        """Open the tables of a name, a pattern, a range or an address of files; see `data_files` and `Tables`.

        Raises:
            DataError: a file is missing or damaged, or lacks a column.
        """
        tables = Tables.open(data_files(".", names, download=download), columns, stream_gigabytes)
        classes = {name: tables.class_names(name) for name in columns}
        return cls(tables, {name: found for name, found in classes.items() if found is not None})

    def row(self, position: Sequence[int]) -> tuple[str, dict[str, Any]]:
        """Return the place and the columns of the row at a position of `tables.positions()`."""
        columns = self.tables.row(position)
        return self.tables.place(position), {name: self._named(name, value) for name, value in columns.items()}

    def column(self, name: str) -> Iterator[Any]:
        """Yield the values of a column."""
        return (self._named(name, value) for value in self.tables.column(name))

    def _named(self, name: str, value: Any) -> Any:
        names = self.names.get(name, ())
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else value
