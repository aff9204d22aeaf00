from __future__ import annotations

from typing import Any

import pytest
import torch

from itnet_core import DataError
from itnet_graph.data.graph_file import both_ways, read_graphs
from itnet_graph.data.motifs import MOTIFS, motif_graph
from itnet_graph.graphs import Graph, Graphs

SOUND = '{"nodes": [[0.5, 1], [2, 0]], "edges": [[0, 1, 0.3], [1, 1]], "label": "a", "of": 7}'


def test_a_line_is_a_graph(write: Any) -> None:
    path = write("a.jsonl", SOUND, "", '{"nodes": 3, "edges": []}')
    first, second = read_graphs(path, directed=True, group_by="of")
    assert (first.label, first.group, first.place) == ("a", "7", f"{path}, line 1")
    assert torch.equal(first.graph.x, torch.tensor([[0.5, 1], [2, 0]]))
    assert first.graph.edge_index.tolist() == [[0, 1], [1, 1]]
    assert first.graph.edge_weight is not None
    assert first.graph.edge_weight.tolist() == pytest.approx([0.3, 1])
    assert (second.label, second.group, second.place) == (None, None, f"{path}, line 3")
    assert torch.equal(second.graph.x, torch.ones(3, 1))
    both = read_graphs(path, directed=False)[0].graph
    assert both.edge_index.tolist() == [[0, 1, 1], [1, 1, 0]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: found Expecting property name"),
        ("[1]", "found list; expected a graph per line"),
        ("[" * 100000, "line 2: found "),
        ('{"nodes": 0, "edges": []}', 'found "nodes": 0; expected a number of nodes, or a list'),
        ('{"nodes": true, "edges": []}', 'found "nodes": True'),
        ('{"nodes": [[1], [1, 2]], "edges": []}', "as many features for each node"),
        ('{"nodes": [[1], [1e99]], "edges": []}', r"found features \[1e\+99\] of node 1; expected finite numbers"),
        ('{"nodes": [[1], [NaN]], "edges": []}', "found NaN; expected finite numbers"),
        ('{"nodes": [["1"]], "edges": []}', r"found features \['1'\] of node 0"),
        ('{"nodes": 2}', 'found "edges": None'),
        ('{"nodes": 2, "edges": [[0]]}', r"found the edge \[0\]; expected \[source, target\]"),
        ('{"nodes": 2, "edges": [[0, 2]]}', r"found the edge \[0, 2\]; expected numbers of nodes from 0 to 1"),
        ('{"nodes": 2, "edges": [[0, -1]]}', "expected numbers of nodes"),
        ('{"nodes": 2, "edges": [[0, 1.0]]}', "expected numbers of nodes"),
        ('{"nodes": 2, "edges": [[0, 1, -1]]}', "a weight of at least 0"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(write: Any, line: str, message: str) -> None:
    rows = read_graphs(write("a.jsonl", SOUND, line), directed=False)
    rows[0].checked()
    with pytest.raises(DataError, match=message):
        rows[1].checked()


def test_a_bad_file_is_refused(write: Any, tmp_path: Any) -> None:
    with pytest.raises(DataError, match="found no line"):
        read_graphs(write("a.jsonl", "", " "), directed=False)
    with pytest.raises(DataError, match="found no such file"):
        read_graphs(tmp_path / "b.jsonl", directed=False)
    (tmp_path / "c.jsonl").write_bytes(b"{}\n\xff\xfe")
    with pytest.raises(DataError, match="line 2"):
        read_graphs(tmp_path / "c.jsonl", directed=False)


@pytest.mark.parametrize("motif", MOTIFS)
def test_a_motif_is_the_only_cycle_of_its_graph(motif: str) -> None:
    for seed in range(20):
        graph = motif_graph(motif, 8 + seed, torch.Generator().manual_seed(seed))
        assert graph.x.shape == (8 + seed, 1)
        left = Graphs.of([graph]).adjacency()[0]
        assert torch.equal(left, left.T)
        while (leaves := left.sum(0) == 1).any():  # without its leaves, a tree vanishes
            left[leaves] = left[:, leaves] = 0
        core = int(sum(len(edge) for edge in MOTIFS[motif]))
        on_cycles = left.sum(0).count_nonzero()
        assert on_cycles == max(max(edge) for edge in MOTIFS[motif]) + 1
        assert left.sum() == core


def test_both_ways_keeps_weights() -> None:
    graph = both_ways(Graph(torch.ones(3, 1), torch.tensor([[0, 2], [1, 2]]), torch.tensor([2.0, 3.0])))
    assert Graphs.of([graph]).adjacency()[0].tolist() == [[0, 2, 0], [2, 0, 0], [0, 0, 3]]
