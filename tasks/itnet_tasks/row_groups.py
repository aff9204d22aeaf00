"""Parquet files that are read by row groups, without a copy."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class RecentGroups:
    """The row groups that were read last, of several files.

    Attributes:
        most: their largest size in bytes; the last one is kept whatever its size.
    """

    most: int
    groups: OrderedDict[tuple[Path, int], pa.Table] = field(default_factory=OrderedDict)
    size: int = 0

    def get(self, file: Path, number: int, columns: Sequence[str]) -> pa.Table:
        """Return these columns of a row group."""
        if (group := self.groups.get((file, number))) is None:
            # The file is opened each time: an open one must not be shared with worker processes.
            group = self.groups[file, number] = _open(file).read_row_group(number, list(columns), use_threads=False)
            self.size += group.nbytes
            while self.size > self.most and len(self.groups) > 1:
                self.size -= self.groups.popitem(last=False)[1].nbytes
        self.groups.move_to_end((file, number))
        return group


class ParquetTable:
    """A parquet file. The numbers of rows come from its footer, and rows from the row group that they are in.

    Args:
        file: the file.
        columns: the columns to read.
        recent: keeps row groups in memory.
    """

    def __init__(self, file: Path, columns: Sequence[str], recent: RecentGroups) -> None:
        self.file, self.columns, self.recent = file, columns, recent
        metadata = _open(file).metadata
        self.parts = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        self._starts = [0, *accumulate(self.parts)]
        self._schema = metadata.schema.to_arrow_schema()
        self.column_names: list[str] = self._schema.names

    def row(self, number: int) -> dict[str, Any]:
        """Return the columns of a row."""
        group = bisect_right(self._starts, number) - 1
        table = self.recent.get(self.file, group, self.columns)
        return {name: value for name, [value] in table.slice(number - self._starts[group], 1).to_pydict().items()}

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, in memory."""
        values: list[Any] = _open(self.file).read([name], use_threads=False).column(name).to_pylist()
        return values

    def class_names(self, name: str) -> list[str] | None:
        """Return the names of a column's numbers if it is a `ClassLabel` of Hugging Face's `datasets`."""
        from datasets import Features

        return getattr(Features.from_arrow_schema(self._schema)[name], "names", None)


def _open(file: Path) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(file)
