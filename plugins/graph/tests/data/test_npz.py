"""Archives as the data sets of PyTorch Geometric are published, which hold pickled arrays beside the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from scipy.sparse import csr_matrix
from torch_geometric.io import read_npz as read_npz_of_pyg

from itnet_core import DataError
from itnet_graph.data.npz import read_npz


class Code:
    """Whatever unpickling would build."""


def sparse(folder: Path, nodes: int = 12, **changes: Any) -> Path:
    random = numpy.random.default_rng(0)
    parts: dict[str, Any] = {"labels": random.integers(0, 3, nodes), "class_names": numpy.array([Code()], dtype=object)}
    matrices = {"adj": random.random((nodes, nodes)) < 0.3, "attr": random.random((nodes, 5)) < 0.5}
    for name, dense in matrices.items():
        matrix = csr_matrix(dense.astype("float32"))
        parts |= {f"{name}_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr", "shape")}
    numpy.savez(folder / "graph.npz", **{**parts, **changes})
    return folder / "graph.npz"


def dense(folder: Path, **changes: Any) -> Path:
    masks = numpy.zeros((2, 3), dtype=bool)
    parts: dict[str, Any] = {
        "node_features": numpy.eye(3, 4),
        "node_labels": numpy.array([0, 1, -1]),
        "edges": numpy.array([[0, 1], [1, 0], [2, 2], [1, 2]]),
        "train_masks": masks | numpy.array([[True, False, False], [False, True, False]]),
        "val_masks": masks | numpy.array([[False, True, False], [True, False, False]]),
        "test_masks": masks,
    }
    numpy.savez(folder / "graph.npz", **{**parts, **changes})
    return folder / "graph.npz"


def test_sparse_matrices_are_read_as_by_pytorch_geometric(tmp_path: Path) -> None:
    path = sparse(tmp_path)
    row, expected = read_npz(path, directed=False), read_npz_of_pyg(str(path), to_undirected=True)
    torch.testing.assert_close(row.graph.x, expected.x)
    assert {*zip(*row.graph.edge_index.tolist(), strict=True)} == {*zip(*expected.edge_index.tolist(), strict=True)}
    assert row.graph.edge_index.shape == expected.edge_index.shape
    assert row.label == expected.y.tolist()
    assert row.split is None


def test_masks_are_splits(tmp_path: Path) -> None:
    path = dense(tmp_path)
    row = read_npz(path, directed=False)
    assert row.label == [0, 1, None]
    assert row.graph.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert read_npz(path, directed=True).graph.edge_index.tolist() == [[0, 1, 1], [1, 0, 2]]
    assert row.split == ["train", "validation", None]
    assert read_npz(path, directed=False, split_number=1).split == ["validation", "train", None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": numpy.zeros(3, dtype=int)}, r"found features \(12, 5\), and 3 labels"),
        ({"labels": numpy.array([Code()] * 12, dtype=object)}, "allow_pickle=False"),
        ({"attr_data": numpy.full(30, numpy.nan, dtype="float32")}, "found"),
        ({"adj_shape": numpy.array([3, 3])}, "found"),
    ],
)
def test_a_faulty_archive_is_refused(changes: Mapping[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"graph\.npz: .*{message}"):
        read_npz(sparse(tmp_path, **changes), directed=False)


def test_edges_and_splits_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found an edge of node 7; expected nodes below 3"):
        read_npz(dense(tmp_path, edges=numpy.array([[0, 7]])), directed=False)
    with pytest.raises(DataError, match="2 splits, without number 2"):
        read_npz(dense(tmp_path), directed=False, split_number=2)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04"])
def test_a_file_that_is_no_archive_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "graph.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"graph\.npz: found"):
        read_npz(path, directed=False)
