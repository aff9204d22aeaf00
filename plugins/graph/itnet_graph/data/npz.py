"""Read a graph with labels of its nodes from a NumPy archive, without its pickled arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from itnet_core import DataError
from itnet_graph.data.graph_file import GraphRow
from itnet_graph.graphs import Graph

EXPECTED = "an archive of one graph: adj_indices, adj_indptr, …, labels; or node_features, node_labels, edges, …"


def read_npz(path: Path, *, directed: bool, split_number: int = 0) -> GraphRow:
    """Read the graph of an archive as the data sets of two benchmarks are published.

    Amazon, Coauthor and the full citation networks (Shchur et al., arXiv 1811.05868) hold sparse matrices, `adj_…` and
    `attr_…`, and `labels`; heterophilous graphs (Platonov et al., arXiv 2302.11640) hold `node_features`,
    `node_labels`, `edges`, and masks of ten splits. Self loops and repeated edges are left out. Pickled arrays, such as
    names of the classes, are not read.

    Example:
        >>> graph = {"node_features": numpy.eye(3), "node_labels": numpy.arange(3), "edges": numpy.array([[0, 1]])}
        >>> numpy.savez("graph.npz", **graph)
        >>> row = read_npz(Path("graph.npz"), directed=False)
        >>> row.graph.edge_index.tolist(), row.label
        ([[0, 1], [1, 0]], [0, 1, 2])

    Args:
        path: the file.
        directed: whether edges lead from source to target alone, instead of both ways.
        split_number: number of the split, in a file of several.

    Raises:
        DataError: the file is missing, or not such an archive.
    """
    if not path.is_file() or not is_zipfile(path):
        found = "no archive" if path.is_file() else "no such file"
        raise DataError(str(path), found=found, expected=EXPECTED)
    try:
        with numpy.load(path, allow_pickle=False) as arrays:
            x, edges, labels = _sparse(arrays) if "adj_indptr" in arrays else _dense(arrays)
            split = _split(arrays, split_number) if "train_masks" in arrays else None
    except (OSError, ValueError, KeyError, IndexError, TypeError, BadZipFile) as error:
        raise DataError(str(path), found=f"{error!s:.200}", expected=EXPECTED) from None
    nodes = len(x)
    if x.ndim != 2 or not nodes or len(labels) != nodes or not x.isfinite().all():
        found = f"features {tuple(x.shape)}, and {len(labels)} labels"
        raise DataError(str(path), found=found, expected="finite features, and a label for each node")
    if edges.numel() and not (edges.min() >= 0 and edges.max() < nodes):
        raise DataError(str(path), found=f"an edge of node {int(edges.max())}", expected=f"nodes below {nodes}")
    edges = edges if directed else torch.cat([edges, edges.flip(0)], 1)
    edges = torch.unique(edges[:, edges[0] != edges[1]], dim=1)
    named = [None if label < 0 else label for label in labels]
    return GraphRow(Graph(x, edges), str(path), named, split=split)


def _sparse(arrays: Mapping[str, Any]) -> tuple[Tensor, Tensor, list[int]]:
    adjacency, features = (_matrix(arrays, name) for name in ("adj", "attr"))
    edges = torch.tensor(numpy.stack(adjacency.nonzero()), dtype=torch.int64)
    x = torch.tensor(arrays["attr_matrix"] if features is None else features.toarray(), dtype=torch.float32)
    return x, edges, arrays["labels"].astype(int).tolist()


def _matrix(arrays: Mapping[str, Any], name: str) -> Any:
    if f"{name}_indptr" not in arrays:
        return None
    parts = arrays[f"{name}_data"], arrays[f"{name}_indices"], arrays[f"{name}_indptr"]
    return csr_matrix(parts, shape=arrays[f"{name}_shape"])


def _dense(arrays: Mapping[str, Any]) -> tuple[Tensor, Tensor, list[int]]:
    x = torch.tensor(arrays["node_features"], dtype=torch.float32)
    edges = torch.tensor(arrays["edges"], dtype=torch.int64).view(-1, 2).T
    return x, edges, arrays["node_labels"].astype(int).tolist()


def _split(arrays: Mapping[str, Any], number: int) -> list[str | None]:
    """Return the split of each node."""
    masks = {
        name: arrays[f"{key}_masks"] for key, name in (("train", "train"), ("val", "validation"), ("test", "test"))
    }
    if number >= len(masks["train"]):
        raise ValueError(f"{len(masks['train'])} splits, without number {number}")
    names: list[str | None] = [None] * masks["train"].shape[1]
    for name, mask in masks.items():
        for node in mask[number].nonzero()[0].tolist():
            names[node] = name
    return names
