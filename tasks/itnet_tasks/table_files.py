"""Base of classification of files in the columns of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from itnet_core import DataError
from itnet_tasks.large_files import LargeFiles, Rows
from itnet_tasks.stored import Content, Stored
from itnet_tasks.tables import TableOptions, Tables


class TableFiles(LargeFiles):
    """Base of tasks on tables with a column of whole files, as bytes, and one of labels; see `Tables`.

    The configuration of a subclass has an option named after the `modality`, such as `image`: the column of the files.
    """

    class Config(LargeFiles.Config, TableOptions):
        label: str = "label"
        """Column of the labels: the numbers or the names of classes."""

    def rows(self, files: Sequence[Path]) -> Rows:
        """List the rows of tables."""
        column, label = getattr(self.config, self.modality), self.config.label
        tables = Tables.open(files, [column, label], self.config.stream_gigabytes)
        positions = tables.positions()
        return Rows(
            Stored(positions, partial(_read, tables, column), files),
            tables.column(label),
            Stored(positions, tables.place, files),
            classes=tables.class_names(label),
        )


def _read(tables: Tables, column: str, position: Sequence[int]) -> Content:
    value, place = tables.row(position)[column], tables.place(position)
    content = value.get("bytes") if isinstance(value, Mapping) else value
    if not isinstance(content, bytes):
        # A path is not opened: it could name any file of this machine.
        kind = "a path" if isinstance(value, str) or (isinstance(value, Mapping) and value.get("path")) else "none"
        found, expected = f"{kind} in column {column!r}", "the bytes of a file"
        raise DataError(place, found=found, expected=expected, hint="Dataset.save_to_disk embeds the files.")
    return Content(content, place)
