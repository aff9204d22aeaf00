from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch_geometric.data import Data

from itnet_graph.tasks.motifs import GraphMotifs
from itnet_registry import create_model
from itnet_testing import TaskConformance


class TestMotifs(TaskConformance):
    component = "itnet-graph/graph-motifs"
    encoder = "itnet-graph/graph"
    options: ClassVar = {"samples": 30, "test_samples": 9}

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [{"nodes": 2, "edges": [[0, 1]]}, Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]))]

    def user_file(self, folder: Path) -> Path:
        """Write a graph."""
        (folder / "graph.jsonl").write_text('{"nodes": 2, "edges": [[0, 1]]}')
        return folder / "graph.jsonl"


def test_classes_differ_in_edges_alone() -> None:
    task: Any = GraphMotifs(samples=300, test_samples=30)
    train, test = task.training(), task.test()
    graphs = [[row.graph for row in train.sources[number::3]] for number in range(3)]
    assert train.labels[:3].tolist() == [0, 1, 2]
    for of_class in graphs:
        assert {len(graph.x) for graph in of_class} == set(range(12, 26))
    for graph in graphs[0] + graphs[1]:  # both cycles have the same number of edges, each in two directions
        assert graph.edge_index.shape[1] == 2 * len(graph.x)
    assert not torch.equal(train.sources[0].graph.edge_index, test.sources[0].graph.edge_index)


def test_a_model_without_edges_predicts_the_same_for_all_graphs() -> None:
    task = GraphMotifs(samples=30, test_samples=9)
    data: Any = task.dataset("test")
    batch = task.collate([data[number] for number in range(9)])
    blind = create_model("graph-nano", encoder={"walk": 0}, kernel="attention", task="graph-motifs", depth=1).eval()
    one = blind(batch.inputs)
    torch.testing.assert_close(one, one[:1].expand_as(one))
    seeing = create_model("graph-nano", encoder={"walk": 0}, task="graph-motifs", depth=1).eval()
    assert len(torch.unique(seeing(batch.inputs), dim=0)) > 5
