"""Parquet files that are read by row groups, without a copy."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itnet_core import DataError

if TYPE_CHECKING:
    import pyarrow as pa


class RecentGroups:
    """The row groups that were read last, of several files. Each process has its own.

    Args:
        most: their largest size in bytes; the last one is kept whatever its size.
    """

    def __init__(self, most: int) -> None:
        self.most, self._size = most, 0
        self._groups: OrderedDict[tuple[Path, int], pa.Table] = OrderedDict()

    def get(self, file: Path, number: int, read: Callable[[], pa.Table]) -> pa.Table:
        """Return a row group, which is read if it is not in memory."""
        if (group := self._groups.get((file, number))) is None:
            group = self._groups[file, number] = read()
            self._size += group.nbytes
            while self._size > self.most and len(self._groups) > 1:
                self._size -= self._groups.popitem(last=False)[1].nbytes
        self._groups.move_to_end((file, number))
        return group

    def __reduce__(self) -> tuple[type[RecentGroups], tuple[int]]:
        return RecentGroups, (self.most,)


class ParquetTable:
    """A parquet file. The numbers of rows come from its footer, and rows from the row group that they are in.

    Args:
        file: the file.
        columns: the columns to read.
        recent: keeps row groups in memory.
    """

    def __init__(self, file: Path, columns: Sequence[str], recent: RecentGroups) -> None:
        from pyarrow import parquet

        self._file, self._columns, self._recent = file, list(columns), recent
        self._metadata = parquet.read_metadata(file)
        self.parts = [self._metadata.row_group(number).num_rows for number in range(self._metadata.num_row_groups)]
        self._starts = [0, *accumulate(self.parts)]
        self._schema = self._metadata.schema.to_arrow_schema()
        self.column_names: list[str] = self._schema.names

    def row(self, number: int) -> dict[str, Any]:
        """Return the columns of a row.

        Raises:
            DataError: its row group is damaged.
        """
        group = bisect_right(self._starts, number) - 1
        table = self._recent.get(self._file, group, lambda: self._read([group], self._columns))
        return {name: value for name, [value] in table.slice(number - self._starts[group], 1).to_pydict().items()}

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, in memory.

        Raises:
            DataError: a row group is damaged.
        """
        values: list[Any] = self._read(range(len(self.parts)), [name]).column(name).to_pylist()
        return values

    def class_names(self, name: str) -> list[str] | None:
        """Return the names of a column's numbers if it is a `ClassLabel` of Hugging Face's `datasets`."""
        from datasets import Features

        return getattr(Features.from_arrow_schema(self._schema)[name], "names", None)

    def _read(self, groups: Sequence[int], columns: list[str]) -> pa.Table:
        from pyarrow import ArrowException, parquet

        try:  # the file is opened each time: an open one must not be shared with worker processes
            with parquet.ParquetFile(self._file, metadata=self._metadata) as file:
                return file.read_row_groups(groups, columns, use_threads=False)
        except (ArrowException, OSError) as error:
            place = f"{self._file}, row group {', '.join(map(str, groups[:3]))}{', …' if len(groups) > 3 else ''}"
            raise DataError(place, found=f"a damaged file ({error})", expected="whole row groups") from error
