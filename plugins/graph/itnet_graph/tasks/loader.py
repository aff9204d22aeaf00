"""Load a graph of a data set, or of a user's file."""

from __future__ import annotations

from pathlib import Path

from itnet_core import DataError
from itnet_graph.data.files import read_rows
from itnet_graph.data.graph_file import GraphRow
from itnet_graph.graphs import Graph


def load_graph(source: GraphRow | Path, *, features: int, directed: bool) -> Graph:
    """Return the graph of a row, or of a file of one line.

    Raises:
        DataError: the row has a fault, or other features; or the file cannot be read, or has not exactly one graph.
    """
    if isinstance(source, Path):
        rows = read_rows(source, directed=directed)
        if len(rows) != 1:
            hint = "Write each graph to a file of its own."
            raise DataError(str(source), found=f"{len(rows)} graphs", expected="one", hint=hint)
        [source] = rows
    graph = source.checked()
    if graph.x.shape[1] != features:
        found, expected = f"{graph.x.shape[1]} features of a node", f"{features}, as in training"
        raise DataError(source.place, found=found, expected=expected)
    return graph
