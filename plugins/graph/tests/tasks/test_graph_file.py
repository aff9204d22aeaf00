from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from itnet_core import DataError
from itnet_graph.tasks.graph_file import GraphFile, GraphFileRegression
from itnet_registry import create_model, load_model, save_model
from itnet_tasks import SkippedSampleWarning
from itnet_testing import TaskConformance

ENCODER = "itnet-graph/graph"


def lines(count: int = 30) -> list[str]:
    """Return paths and rings, in two classes and ten groups, of two features."""
    rows = []
    for number in range(count):
        size = 3 + number % 3
        edges = [[node, (node + 1) % size] for node in range(size - number % 2)]
        nodes = [[number / 7, 2.0] for _ in range(size)]
        row = {"nodes": nodes, "edges": edges, "kind": ["ring", "path"][number % 2], "size": size, "mass": number}
        rows.append(json.dumps({**row, "of": number // 3}))
    return rows


class TestGraphFile(TaskConformance):
    component = "itnet-graph/graph-file"
    encoder = ENCODER

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        """Write the graphs."""
        (folder / "graphs.jsonl").write_text("\n".join(lines()))
        return {"train": str(folder / "graphs.jsonl"), "label": "kind"}

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [
            {"nodes": [[0, 1], [1, 1]], "edges": [[0, 1]]},
            Data(x=torch.rand(3, 2), edge_index=torch.tensor([[0, 1], [1, 2]])),
        ]

    def user_file(self, folder: Path) -> Path:
        """Write a graph without a label."""
        (folder / "graph.jsonl").write_text('{"nodes": [[1, 2], [0, 2]], "edges": [[0, 1]]}')
        return folder / "graph.jsonl"


class TestGraphFileRegression(TestGraphFile):
    component = "itnet-graph/graph-file-regression"

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        """Write the graphs."""
        return {**super().prepare(folder), "label": "mass"}


@pytest.fixture
def path(write: Any) -> str:
    return str(write("graphs.jsonl", *lines()))


def test_the_configuration_is_completed_from_the_training_graphs(path: str) -> None:
    task = GraphFile(train=path, test=path, label="kind")
    assert task.classes == ("path", "ring")
    x = torch.cat([row.graph.x for row in task.training().sources]).double()
    assert task.config.mean == pytest.approx(x.mean(0).tolist())
    assert task.config.std == pytest.approx([float(x[:, 0].std(correction=0)), 1])  # a constant feature
    assert task.encoder_options == {"features": 2, "mean": list(task.config.mean), "std": list(task.config.std)}
    regression = GraphFileRegression(train=path, test=path, label="size")
    assert (regression.centre, regression.scale) == pytest.approx((4, (2 / 3) ** 0.5))
    assert GraphFileRegression(train=path, label="size", centre=1, scale=2).scale == 2


def test_a_configuration_may_be_written_before_the_data_exist(tmp_path: Path) -> None:
    task = GraphFile(train=str(tmp_path / "later.jsonl"))
    assert task.config.mean is None
    with pytest.raises(DataError, match="no such file"):
        _ = task.encoder_options


def test_no_split_divides_a_group(path: str) -> None:
    task = GraphFile(train=path, label="kind", group_by="of", validation=0.3)
    groups = [{row.group for row in task.dataset(split).sources} for split in ("train", "validation", "test")]
    assert all(groups)
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]


def test_a_bad_graph_is_refused_or_skipped(write: Any) -> None:
    bad = '{"nodes": [[1, 2]], "edges": [[0, 1]], "kind": "ring"}'
    path = str(write("bad.jsonl", *lines(), bad))
    data = GraphFile(train=path, test=path, label="kind").dataset("test")
    with pytest.raises(DataError, match=r"bad.jsonl, line 31: found the edge \[0, 1\]"):
        _ = data[30]
    task = GraphFile(train=path, test=path, label="kind", on_bad_sample="skip")
    with pytest.warns(SkippedSampleWarning, match="line 31"):
        assert task.dataset("test")[30] is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"nodes": [[1, 2]], "edges": [], "kind": "tree"}', "found the label 'tree'; expected one of 'path', 'ring'"),
        ('{"nodes": [[1, 2]], "edges": []}', "found the label None"),
        ('{"nodes": [[1, 2, 3]], "edges": [], "kind": "ring"}', "found 3 features of a node; expected 2, as in"),
    ],
)
def test_labels_and_features_are_those_of_training(write: Any, path: str, line: str, message: str) -> None:
    task = GraphFile(train=path, test=str(write("test.jsonl", line)), label="kind")
    with pytest.raises(DataError, match=f"test.jsonl, line 1: {message}"):
        _ = task.dataset("test")[0]


def test_a_number_that_is_no_label_is_refused(write: Any, path: str) -> None:
    wrong = write("test.jsonl", *(f'{{"nodes": [[1, 2]], "edges": [], "size": {x}}}' for x in ("1e99", "true", '"1"')))
    data = GraphFileRegression(train=path, test=str(wrong), label="size").dataset("test")
    for number in range(3):
        with pytest.raises(DataError, match="expected a finite number"):
            _ = data[number]


def test_a_checkpoint_predicts_without_the_data(path: str, write: Any, tmp_path: Path) -> None:
    task = GraphFile(train=path, label="kind")
    settings = {"name": "graph-file", **task.config.model_dump()}
    model = create_model("graph-nano", task=settings).eval()
    save_model(model, tmp_path / "model")
    Path(path).unlink()
    loaded = load_model(tmp_path / "model").eval()
    later = GraphFile(**task.config.model_dump())
    sample = later.read(write("mine.jsonl", '{"nodes": [[1, 2], [0, 2]], "edges": [[0, 1]]}'))
    batch = later.collate([sample])
    assert torch.equal(loaded(batch.inputs), model(batch.inputs))
    assert later.describe(loaded(batch.inputs))[0]["label"] in ("path", "ring")
    pickle.dumps(later.loader(training=False))
