from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.datasets import KarateClub
from torch_geometric.nn import GIN
from torch_geometric.transforms import AddLaplacianEigenvectorPE, AddRandomWalkPE

from itnet_core import ConfigError, ShapeError
from itnet_graph.encoders.encodings import laplacian_eigenvectors, return_probabilities
from itnet_graph.encoders.graph import GraphEncoder
from itnet_graph.graphs import Graph, Graphs
from itnet_testing import EncoderConformance


class TestGraph(EncoderConformance):
    component = "itnet-graph/graph"
    options: ClassVar = {"features": 3, "walk": 2, "laplacian": 2}


class TestGraphWithNetwork(EncoderConformance):
    component = "itnet-graph/graph"
    options: ClassVar = {"network": {"name": "GIN", "hidden_channels": 4, "num_layers": 2}}


def karate() -> Data:
    return Data(edge_index=KarateClub()[0].edge_index, num_nodes=34)


def directed() -> Data:
    torch.manual_seed(0)
    return Data(edge_index=(torch.rand(9, 9) < 0.3).nonzero().T, num_nodes=9)


def batch(data: Data, features: int = 1) -> Graphs:
    """Return a graph beside a smaller one."""
    torch.manual_seed(0)
    graph = Graph(torch.randn(data.num_nodes, features), data.edge_index)
    return Graphs.of([graph, Graph(torch.randn(2, features), torch.tensor([[0], [1]]))])


@pytest.mark.parametrize("make", [karate, directed])
def test_probabilities_of_return_are_those_of_pyg(make: Any) -> None:
    data = make()
    expected = AddRandomWalkPE(5)(data).random_walk_pe
    actual = return_probabilities(batch(data).adjacency(), 5)[0]
    torch.testing.assert_close(actual, expected.to(actual))


def test_eigenvectors_are_those_of_pyg_up_to_their_signs() -> None:
    data = karate()
    expected = AddLaplacianEigenvectorPE(4, is_undirected=True)(data).laplacian_eigenvector_pe
    graphs = batch(data)
    actual = laplacian_eigenvectors(graphs.adjacency(), graphs.sizes, 4)
    torch.testing.assert_close(actual[0].abs(), 34**0.5 * expected.abs().to(actual), rtol=1e-4, atol=1e-4)
    assert (actual[1, :2, 0] != 0).all()
    assert (actual[1, :, 1:] == 0).all()  # a graph of two nodes has one vector


def test_signs_are_random_in_training_alone() -> None:
    encoder, graphs = GraphEncoder(8, laplacian=4), batch(karate())
    first, second = encoder(graphs).positions, encoder(graphs).positions
    torch.testing.assert_close(first.abs(), second.abs())
    signs = torch.stack([encoder(graphs).positions[0, 0, 1].sign() for _ in range(20)])
    assert set(signs.tolist()) == {-1, 1}
    encoder.eval()
    assert torch.equal(encoder(graphs).positions, encoder(graphs).positions)


@pytest.mark.parametrize("laplacian", [0, 2])
def test_the_numbers_of_the_nodes_do_not_matter(laplacian: int) -> None:
    data = karate()
    encoder = GraphEncoder(8, features=2, walk=3, laplacian=laplacian).eval()
    graph = Graph(torch.randn(34, 2), data.edge_index)
    order = torch.randperm(34)
    renamed = Graph(graph.x[order], order.argsort()[graph.edge_index])
    fields = [encoder(Graphs.of([g])) for g in (graph, renamed)]
    torch.testing.assert_close(fields[1].values, fields[0].values[:, order], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(fields[1].positions, fields[0].positions[:, order], rtol=1e-3, atol=1e-3)


def test_a_network_is_applied_to_each_graph() -> None:
    encoder = GraphEncoder(8, features=2, network={"name": "GIN", "hidden_channels": 4, "num_layers": 2}).eval()
    assert encoder.network is not None
    assert isinstance(encoder.network.module, GIN)
    data = directed()
    graphs = batch(data, features=2)
    expected = encoder.network.module(encoder.projection(graphs.x[0]), data.edge_index)
    torch.testing.assert_close(encoder(graphs).values[0], expected)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"name": "Linear"}, "found 'Linear'; expected a layer or a model of torch_geometric.nn"),
        ({"name": "Nothing"}, "found 'Nothing'"),
        ({"name": "GIN", "depth": 2}, "expected options of torch_geometric.nn.GIN"),
    ],
)
def test_other_networks_are_refused(network: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GraphEncoder(8, network=network)


def test_a_network_of_another_width_is_refused() -> None:
    encoder = GraphEncoder(8, network={"name": "GATConv", "heads": 2})
    with pytest.raises(ShapeError, match=r"found \(36, 16\) of GATConv; expected \(36, 8\)"):
        encoder(batch(karate()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 34, 2)}, r"expected Graphs\(x \(B, N, 1\)"),
        ({"sizes": torch.tensor([35, 2])}, r"found sizes \[35, 2\]; expected 1 to N = 34"),
        ({"sizes": torch.tensor([34.0, 2.0])}, "float32 of shape"),
    ],
)
def test_other_inputs_are_refused(change: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        GraphEncoder(8)(batch(karate())._replace(**change))
    with pytest.raises(ShapeError, match="found Tensor"):
        GraphEncoder(8)(torch.zeros(2, 3, 1))
