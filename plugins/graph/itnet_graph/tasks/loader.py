"""Load a graph of a data set, or of a user's file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from itnet_core import DataError
from itnet_graph.data.files import read_rows
from itnet_graph.data.graph_file import GraphRow, graph_of
from itnet_graph.graphs import Graph
from itnet_tasks import unreadable
from itnet_tasks.values import PLACE


def load_graph(source: GraphRow | Path, *, features: int, directed: bool) -> Graph:
    """Return the graph of a row, or of a file of one line.

    Raises:
        DataError: the row has a fault, or other features; or the file cannot be read, or has not exactly one graph.
    """
    if isinstance(source, Path):
        rows = read_rows(source, directed=directed)
        if len(rows) != 1:
            hint = "A Predictor takes files of several graphs: predictor.predict([Path('graphs.jsonl')])."
            raise DataError(str(source), found=f"{len(rows)} graphs", expected="one", hint=hint)
        [source] = rows
    graph = source.checked()
    if graph.x.shape[1] != features:
        found, expected = f"{graph.x.shape[1]} features of a node", f"{features}, as in training"
        raise DataError(source.place, found=found, expected=expected)
    return graph


SUFFIXES = (".jsonl", ".json", ".npz")
"""Suffixes of files of graphs."""


def row_of(value: Any, *, directed: bool) -> GraphRow:
    """Return the row of a user's graph in memory.

    Example:
        >>> row_of({"nodes": 3, "edges": [[0, 1], [1, 2]]}, directed=False).graph.edge_index.shape
        torch.Size([2, 4])

    Args:
        value: a mapping of `nodes` and `edges`, as in a file; a `Graph`, or PyTorch Geometric's `Data`, whose edges are
            listed in both directions where they lead both ways; or a row, which stays.
        directed: whether edges lead from source to target alone.

    Raises:
        DataError: it is another value, or no graph.
    """
    if isinstance(value, GraphRow):
        return value
    if isinstance(value, Mapping):
        try:
            return GraphRow(graph_of(dict(value), directed), PLACE)
        except ValueError as error:
            found, expected = error.args if len(error.args) == 2 else (str(error), "a graph")
            raise DataError(PLACE, found=found, expected=expected) from None
    x, edge_index = getattr(value, "x", None), getattr(value, "edge_index", None)
    if not isinstance(x, torch.Tensor) or not isinstance(edge_index, torch.Tensor):
        raise unreadable(value, 'a graph: {"nodes": …, "edges": …}, or Data(x, edge_index)')
    ends = edge_index.numel() == 0 or (int(edge_index.min()) >= 0 and int(edge_index.max()) < len(x))
    if x.ndim != 2 or not len(x) or edge_index.ndim != 2 or len(edge_index) != 2 or not ends or not x.isfinite().all():
        found = f"x of shape {tuple(x.shape)}, edge_index of shape {tuple(edge_index.shape)}"
        raise DataError(PLACE, found=found, expected="finite x (n, c), and edge_index (2, E) of numbers of nodes")
    weight = getattr(value, "edge_weight", None)
    graph = Graph(x.float(), edge_index.long(), None if weight is None else weight.float())
    return GraphRow(graph, PLACE)
