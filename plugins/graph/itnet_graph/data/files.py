"""Read the graphs of a file of any supported format."""

from __future__ import annotations

from pathlib import Path

from itnet_graph.data.graph_file import GraphRow, read_graphs
from itnet_graph.data.npz import read_npz


def read_rows(
    path: Path, *, directed: bool, label: str = "labels", split: str = "split", split_number: int = 0
) -> list[GraphRow]:
    """Read the graphs of a file: an archive `.npz` of one graph (`read_npz`), or JSON lines (`read_graphs`).

    Args:
        path: the file.
        directed: whether edges lead from source to target alone, instead of both ways.
        label: key of the labels in JSON.
        split: key of the splits in JSON.
        split_number: number of the split, in an archive of several.

    Raises:
        DataError: the file is missing, or of another format.
    """
    if path.suffix == ".npz":
        return [read_npz(path, directed=directed, split_number=split_number)]
    return read_graphs(path, directed=directed, label=label, split=split)
