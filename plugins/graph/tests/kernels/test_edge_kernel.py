from __future__ import annotations

import copy

import pytest
import torch

from itnet_core import ConfigError, Edges, Field, FieldError, IntegralOperator, Nodes, Sampler, TiledEvaluator, union
from itnet_graph.graphs import Graph, Graphs
from itnet_graph.kernels.gat import GATKernel
from itnet_graph.kernels.message_passing import MessagePassingKernel
from itnet_graph.kernels.neighbour_sums import GCNKernel, GINKernel
from itnet_kernels import SumKernel
from itnet_testing.fields import scattered


def ring(points: int = 9, dim: int = 8) -> Field:
    """Return a field on a ring, in float64."""
    numbers = torch.arange(points)
    sources = torch.stack([numbers - 1, numbers + 1], -1) % points
    edges = Edges(sources.expand(2, -1, -1), torch.ones(2, points, 2, dtype=torch.float64))
    return scattered(points=points, dim=dim).to(torch.float64).with_edges(edges)


def test_weights_of_edges_get_their_gradient() -> None:
    field, operator = ring(), IntegralOperator(8, GATKernel(8, heads=2)).double()
    assert field.points.edges is not None
    sources, weights = field.points.edges

    def function(weights: torch.Tensor) -> torch.Tensor:
        return operator(field.with_edges(Edges(sources, weights))).values

    assert torch.autograd.gradcheck(function, weights.clone().requires_grad_(), fast_mode=True)


def test_an_edge_of_weight_two_is_two_edges() -> None:
    field = ring()
    assert field.points.edges is not None
    sources, weights = field.points.edges
    twice = field.with_edges(Edges(torch.cat([sources, sources], -1), torch.cat([weights, weights], -1)))
    heavy = field.with_edges(Edges(sources, 2 * weights))
    for kernel in (GINKernel(8), GCNKernel(8), GATKernel(8)):
        operator = IntegralOperator(8, kernel).double()
        torch.testing.assert_close(operator(twice).values, operator(heavy).values)


def test_a_block_reaches_one_edge_further() -> None:
    field, operator = ring(), IntegralOperator(8, MessagePassingKernel(8)).double()
    changed = field.values.clone()
    changed[:, 0] += 1
    moved = operator(field.with_values(changed)).values != operator(field).values
    assert moved.any(-1)[0].nonzero().flatten().tolist() == [0, 1, 8]


class Reversed(Sampler):
    """All points, in reversed order."""

    def forward(self, query: Field, key: Field) -> Nodes:
        indices = torch.arange(key.values.shape[1]).flip(0).expand(len(key.values), -1)
        return Nodes(indices, key.weights.gather(1, indices))


@pytest.mark.parametrize(
    "kernel", [GCNKernel(8), GATKernel(8), MessagePassingKernel(8)], ids=lambda k: type(k).__name__
)
def test_nodes_of_a_sampler_keep_their_edges(kernel: torch.nn.Module) -> None:
    field, operator = ring(), IntegralOperator(8, kernel).double()  # type: ignore[arg-type]
    expected = operator(field).values
    operator.sampler = Reversed(8)
    torch.testing.assert_close(operator(field).values, expected)


def test_neighbours_and_all_points_may_be_summed() -> None:
    kernel = SumKernel.of(GINKernel(8), MessagePassingKernel(8), GATKernel(8))
    operator, field = IntegralOperator(8, kernel).double(), ring()
    assert operator.explain_choice(field).chosen == " + ".join(["kernel.integrate"] * 3)
    fast = operator(field).values
    operator.evaluator = TiledEvaluator(query_tile=2, key_tile=3)
    torch.testing.assert_close(operator(field).values, fast)


def test_a_compiled_node_keeps_the_edges() -> None:
    field = ring()
    operator = IntegralOperator(8, GATKernel(8), evaluator=TiledEvaluator()).double()
    compiled = torch.compile(copy.deepcopy(operator), backend="eager")
    torch.testing.assert_close(compiled(field).values, operator(field).values)


def test_points_without_edges_are_refused() -> None:
    field = ring()
    operator = IntegralOperator(8, GINKernel(8)).double()
    for lost in (field.with_edges(None), union([field, field])):
        with pytest.raises(FieldError, match="found points without edges; expected the points of a graph"):
            operator(lost)
    with pytest.raises(FieldError, match="a key at other points than the query's"):
        operator(field, ring(5))


def test_a_sum_and_a_kernel_that_scans_are_refused() -> None:
    for name, found in (("itnet-kernels/gru", "a kernel that scans"), ("itnet-kernels/sum", "a sum")):
        options = {"kernels": ["itnet-kernels/gaussian"] * 2} if name.endswith("sum") else {}
        with pytest.raises(ConfigError, match=f"MessagePassingKernel.kernel: found {found}"):
            MessagePassingKernel(8, kernel={"name": name, **options})


def test_the_order_of_edges_and_graphs_does_not_matter() -> None:
    torch.manual_seed(0)
    graphs = [Graph(torch.randn(n, 8), torch.randint(n, (2, 3 * n))) for n in (5, 3)]
    shuffled = [g._replace(edge_index=g.edge_index[:, torch.randperm(g.edge_index.shape[1])]) for g in graphs]
    first, second = Graphs.of(graphs), Graphs.of(shuffled[::-1])
    torch.testing.assert_close(first.adjacency()[0], second.adjacency()[1])
    torch.testing.assert_close(first.adjacency()[1, :3, :3], second.adjacency()[0, :3, :3])
