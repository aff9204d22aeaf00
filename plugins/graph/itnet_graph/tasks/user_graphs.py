"""Users' graphs, for tasks whose own graphs are generated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from itnet_graph.data.files import read_rows
from itnet_graph.data.graph_file import GraphRow
from itnet_graph.tasks.loader import SUFFIXES, row_of


class UserGraphs:
    """Reads users' undirected graphs, from files and in memory, in a task whose own graphs are generated."""

    suffixes: ClassVar[Sequence[str]] = SUFFIXES

    def source_of(self, value: Any) -> GraphRow:
        """Return a user's graph in memory; see `row_of`.

        Raises:
            DataError: it is another value, or no graph.
        """
        return row_of(value, directed=False)

    def parts(self, path: Path) -> Sequence[tuple[str, Any]]:
        """Return the graphs of a user's file by their lines; they need no label.

        Raises:
            DataError: the file cannot be read.
        """
        return [(row.place, row) for row in read_rows(path, directed=False)]
