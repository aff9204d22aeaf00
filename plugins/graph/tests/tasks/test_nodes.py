from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from itnet_core import DataError, ShapeError, Split
from itnet_graph.tasks.blocks import GraphBlocks
from itnet_graph.tasks.graph_nodes import GraphNodes
from itnet_graph.tasks.node_classification import NONE, NodeClassification
from itnet_registry import create_model, load_model, save_model
from itnet_tasks import SkippedSampleWarning
from itnet_testing import TaskConformance

ENCODER = "itnet-graph/graph"
NANO: dict[str, Any] = {"depth": 1, "width": 8, "kernel": {"name": "gcn"}}


def ring(size: int = 30, **more: Any) -> str:
    """Return a ring of two classes of nodes and two features, the last node without a label."""
    edges = [[node, (node + 1) % size] for node in range(size)]
    nodes = [[node / 7, 2.0] for node in range(size)]
    labels = [["even", "odd"][node % 2] for node in range(size - 1)] + [None]
    return json.dumps({"nodes": nodes, "edges": edges, "labels": labels, **more})


class TestGraphNodes(TaskConformance):
    component = "itnet-graph/graph-nodes"
    encoder = ENCODER

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        """Write two graphs."""
        (folder / "rings.jsonl").write_text(f"{ring()}\n{ring(20)}")
        return {"file": str(folder / "rings.jsonl")}

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [
            {"nodes": [[0, 1], [1, 1]], "edges": [[0, 1]]},
            Data(x=torch.rand(3, 2), edge_index=torch.tensor([[0, 1], [1, 2]])),
        ]

    def user_file(self, folder: Path) -> Path:
        """Write a graph without labels."""
        (folder / "graph.jsonl").write_text('{"nodes": [[1, 2], [0, 2]], "edges": [[0, 1]]}')
        return folder / "graph.jsonl"


class TestGraphBlocks(TaskConformance):
    component = "itnet-graph/graph-blocks"
    encoder = ENCODER
    options: ClassVar = {"nodes": 60, "features": 3}

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [
            {"nodes": [[0, 1, 2], [1, 1, 1]], "edges": [[0, 1]]},
            Data(x=torch.rand(3, 3), edge_index=torch.tensor([[0, 1], [1, 2]])),
        ]

    def user_file(self, folder: Path) -> Path:
        """Write a graph."""
        (folder / "graph.jsonl").write_text('{"nodes": [[1, 2, 3], [0, 2, 3]], "edges": [[0, 1]]}')
        return folder / "graph.jsonl"


def targets(task: NodeClassification, split: Split) -> Tensor:
    data: Any = task.dataset(split)
    return task.collate([data[number] for number in range(len(data))]).targets


def test_each_labelled_node_is_in_one_split(write: Any) -> None:
    task = GraphNodes(file=str(write("rings.jsonl", ring(), ring(20))), validation=0.3)
    parts = [targets(task, split) != NONE for split in get_args(Split)]
    assert torch.stack(parts).sum(0)[0, :29].eq(1).all()
    assert torch.stack(parts).sum(0)[1, :19].eq(1).all()
    assert not torch.stack(parts)[:, 1, 19:].any()  # without a label, or padding
    assert [int(part.sum()) for part in parts] == [27, 11, 10]
    for fold in range(5):
        other = GraphNodes(file=task.file, test_fold=fold)
        assert (targets(other, "test") != NONE).equal(parts[2]) == (fold == 0)


def test_training_samples_are_nodes(write: Any) -> None:
    task = GraphNodes(file=str(write("ring.jsonl", ring(100))), training_samples=8)
    chosen = targets(task, "train")
    assert chosen[chosen != NONE].bincount().tolist() == [4, 4]
    everything = GraphNodes(file=task.file)
    assert targets(task, "test").equal(targets(everything, "test"))


def test_the_file_may_name_splits_of_nodes_or_of_graphs(write: Any) -> None:
    split = ["train"] * 10 + ["validation"] * 5 + [None] * 5 + ["test"] * 10
    task = GraphNodes(file=str(write("ring.jsonl", ring(split=split))))
    for name in get_args(Split):
        expected = torch.tensor([own == name for own in split])
        expected[29] = False
        assert (targets(task, name)[0] != NONE).equal(expected)
    graphs = [ring(split="train"), ring(20, split="validation"), ring(10, split="test")]
    task = GraphNodes(file=str(write("rings.jsonl", *graphs)))
    assert [targets(task, name).shape for name in get_args(Split)] == [(1, 30), (1, 20), (1, 10)]
    x = torch.arange(30) / 7
    assert task.config.mean == pytest.approx([float(x.mean()), 2])  # of the training graphs alone


def test_an_epoch_may_visit_a_graph_several_times(write: Any) -> None:
    task = GraphNodes(file=str(write("ring.jsonl", ring())), repeats=3)
    assert [len(task.dataset(split)) for split in get_args(Split)] == [3, 1, 1]


def test_labels_of_one_split_do_not_reach_another(write: Any) -> None:
    task = GraphNodes(file=str(write("ring.jsonl", ring())))
    train, test = targets(task, "train"), targets(task, "test")
    prediction = torch.nn.functional.one_hot(train.clamp(min=0), 2).float() * 20
    metric = task.metrics()["accuracy"]
    metric.update(prediction, train)
    assert float(metric.compute()) == 1
    changed = prediction.masked_fill((test != NONE).unsqueeze(-1), 3.0)
    torch.testing.assert_close(task.loss(changed, train), task.loss(prediction, train))
    with pytest.raises(ShapeError, match=r"found shape \(1, 4, 2\); expected a prediction for each node, \(1, 30\)"):
        task.loss(prediction[:, :4], train)


def test_an_archive_of_one_graph_is_a_file_too(tmp_path: Path) -> None:
    edges = numpy.array([[node, (node + 1) % 20] for node in range(20)])
    parts: dict[str, Any] = {"node_features": numpy.eye(20, 3), "node_labels": numpy.arange(20) % 2, "edges": edges}
    numpy.savez(tmp_path / "ring.npz", **parts)
    task = GraphNodes(file=str(tmp_path / "ring.npz"))
    assert task.classes == ("0", "1")
    assert int((targets(task, "train") != NONE).sum()) == 14
    assert task.read(tmp_path / "ring.npz").inputs.x.shape == (20, 3)


def test_a_checkpoint_predicts_without_the_data(write: Any, tmp_path: Path) -> None:
    path = write("ring.jsonl", ring())
    model = create_model("itnet-nano", **NANO, encoder=ENCODER, task={"name": "graph-nodes", "file": str(path)}).eval()
    save_model(model, tmp_path / "checkpoint")
    path.unlink()
    loaded = load_model(tmp_path / "checkpoint")
    assert loaded.config is not None
    task = GraphNodes(**{key: value for key, value in loaded.config["tasks"]["graph"].items() if key != "name"})
    user = write("mine.jsonl", '{"nodes": [[1, 2], [0, 2], [1, 1]], "edges": [[0, 1]]}')
    [record] = task.describe(loaded(task.collate([task.read(user)]).inputs))
    assert len(record["labels"]) == 3
    assert {*record["labels"]} <= {"even", "odd"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([ring(labels=["a"])], r"line 1: found 1 labels; expected a list of 30, one for each node"),
        ([ring(), ring(labels="even")], r"line 2: found the labels 'even'; expected a list of 30"),
        ([ring(labels=[0.5] * 30)], r"line 1: found the label 0\.5 of node 0"),
        ([ring(split="tests")], r"line 1: found the split 'tests'; expected train, validation, test"),
        ([ring(split=["train"])], r"found the split \['train'\]; expected .* a list of 30"),
        ([ring(split="train"), ring()], "found splits of some graphs"),
        ([ring(labels=[None] * 30)], "found none; expected at least two"),
    ],
)
def test_a_faulty_file_is_refused(lines: list[str], message: str, write: Any) -> None:
    path = str(write("rings.jsonl", *lines))
    with pytest.raises(DataError, match=message):
        create_model("itnet-nano", **NANO, encoder=ENCODER, task={"name": "graph-nodes", "file": path})


def test_an_unknown_class_and_an_empty_split_are_refused(write: Any) -> None:
    path = str(write("ring.jsonl", ring()))
    with pytest.raises(DataError, match="line 1: found the label 'odd'; expected one of even, other"):
        GraphNodes(file=path, classes=["even", "other"], mean=[0, 0], std=[1, 1]).dataset("train")
    task = GraphNodes(file=str(write("ring.jsonl", ring(split="train"))))
    with pytest.raises(DataError, match="found no node with a class; expected nodes of the split 'test'"):
        task.dataset("test")


def test_a_faulty_graph_may_be_skipped(write: Any) -> None:
    path = str(write("rings.jsonl", ring(), ring(labels="even")))
    task = GraphNodes(file=path, on_bad_sample="skip", mean=[0, 0], std=[1, 1], classes=["even", "odd"])
    with pytest.warns(SkippedSampleWarning, match=r"line 2: found the labels 'even'"):
        assert len(task.dataset("train")) == 1


@pytest.mark.parametrize("homophily", [0.0, 0.5, 1.0])
def test_neighbours_share_the_block_as_often_as_homophily_says(homophily: float) -> None:
    [graph] = GraphBlocks(nodes=800, blocks=2, homophily=homophily, degree=10).graphs
    source, target = graph.row.graph.edge_index
    same = (graph.classes[source] == graph.classes[target]).float().mean()
    assert float(same) == pytest.approx(homophily, abs=0.05)
    assert len(source) / 800 == pytest.approx(10, abs=0.6)
    assert graph.classes.bincount().tolist() == [400, 400]
