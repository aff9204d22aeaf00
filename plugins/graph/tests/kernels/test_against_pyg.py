"""The operator with a kernel over edges equals the layer of PyTorch Geometric with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, GINConv, SAGEConv, TransformerConv
from torch_geometric.utils import to_undirected

from itnet_core import DenseEvaluator, Evaluator, Field, IntegralOperator, TiledEvaluator
from itnet_graph.graphs import Graph, Graphs
from itnet_graph.kernels.gat import GATKernel
from itnet_graph.kernels.message_passing import MessagePassingKernel
from itnet_graph.kernels.neighbour_sums import GCNKernel, GINKernel

DIM, OUT, HEADS = 6, 8, 2
BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-10}
Layer = Callable[[Tensor, Tensor, Tensor], Tensor]
EVALUATORS: tuple[Evaluator | None, ...] = (None, DenseEvaluator(), TiledEvaluator(query_tile=3, key_tile=4))


def random_graphs(seed: int, *, undirected: bool, loops: bool, weighted: bool, dtype: torch.dtype) -> list[Graph]:
    """Return graphs of 1, 7 and 12 nodes, with isolated nodes, without double edges."""
    generator = torch.Generator().manual_seed(seed)
    graphs = []
    for nodes in (7, 1, 12):
        chosen = torch.rand(nodes, nodes, generator=generator) < 0.3
        chosen[:, -1] = chosen[-1] = False  # isolated
        chosen.fill_diagonal_(False)
        edge_index = chosen.nonzero().T
        if undirected:
            edge_index = to_undirected(edge_index, num_nodes=nodes)
        if loops and nodes > 1:
            edge_index = torch.cat([edge_index, torch.tensor([[0, 2], [0, 2]])], 1)
        weight = 0.5 + torch.rand(edge_index.shape[1], generator=generator) if weighted else torch.ones(1)
        x = torch.randn(nodes, DIM, generator=generator, dtype=dtype)
        graphs.append(Graph(x, edge_index, weight.to(dtype).expand(edge_index.shape[1])))
    return graphs


def gcn(dtype: torch.dtype) -> tuple[IntegralOperator, Layer]:
    conv = GCNConv(DIM, OUT).to(dtype)
    operator = IntegralOperator(DIM, GCNKernel(DIM), out_dim=OUT, pointwise=False).to(dtype)
    copy(operator.output[-1], conv.lin.weight, conv.bias)  # type: ignore[index]
    return operator, conv


def gin(dtype: torch.dtype) -> tuple[IntegralOperator, Layer]:
    linear = nn.Linear(DIM, OUT)
    conv = GINConv(linear, eps=0.25).to(dtype)
    operator = IntegralOperator(DIM, GINKernel(DIM), out_dim=OUT).to(dtype)
    copy(operator.output[-1], linear.weight, linear.bias)  # type: ignore[index]
    copy(operator.pointwise, 1.25 * linear.weight)

    def layer(x: Tensor, edge_index: Tensor, weight: Tensor) -> Tensor:
        assert (weight == 1).all()
        out: Tensor = conv(x, edge_index)
        return out

    return operator, layer


def sage(dtype: torch.dtype) -> tuple[IntegralOperator, Layer]:
    conv = SAGEConv(DIM, OUT).to(dtype)
    operator = IntegralOperator(DIM, GINKernel(DIM, aggregation="mean"), out_dim=OUT).to(dtype)
    copy(operator.output[-1], conv.lin_l.weight, conv.lin_l.bias)  # type: ignore[index]
    copy(operator.pointwise, conv.lin_r.weight)
    return operator, lambda x, edge_index, weight: conv(x, edge_index)


def gat(dtype: torch.dtype) -> tuple[IntegralOperator, Layer]:
    conv = GATConv(DIM, OUT // HEADS, HEADS).to(dtype)
    kernel = GATKernel(DIM, heads=HEADS)
    operator = IntegralOperator(DIM, kernel, out_dim=OUT, head_dim=OUT // HEADS, pointwise=False).to(dtype)
    copy(operator.value[0], conv.lin.weight)  # type: ignore[index]
    by_head = conv.lin.weight.view(HEADS, -1, DIM)
    copy(kernel.kernel.query, torch.einsum("hc,hcd->hd", conv.att_dst[0], by_head), torch.zeros(HEADS))
    copy(kernel.kernel.key, torch.einsum("hc,hcd->hd", conv.att_src[0], by_head))
    copy(operator.output[-1], torch.eye(OUT), conv.bias)  # type: ignore[index]
    return operator, lambda x, edge_index, weight: conv(x, edge_index)


def gat_v2(dtype: torch.dtype) -> tuple[IntegralOperator, Layer]:
    conv = GATv2Conv(DIM, OUT // HEADS, HEADS).to(dtype)
    nn.init.normal_(conv.lin_l.bias)
    nn.init.normal_(conv.lin_r.bias)
    kernel = GATKernel(DIM, heads=HEADS, hidden=OUT // HEADS)
    operator = IntegralOperator(DIM, kernel, out_dim=OUT, head_dim=OUT // HEADS, pointwise=False).to(dtype)
    copy(operator.value[0], conv.lin_l.weight)  # type: ignore[index]
    copy(kernel.kernel.query, conv.lin_r.weight, conv.lin_r.bias + conv.lin_l.bias)
    copy(kernel.kernel.key, conv.lin_l.weight)
    kernel.kernel.attention.data.copy_(conv.att[0])  # type: ignore[operator]
    # The weights of attention sum to 1, so the bias of the values is one of the output.
    copy(operator.output[-1], torch.eye(OUT), conv.bias + conv.lin_l.bias)  # type: ignore[index]
    return operator, lambda x, edge_index, weight: conv(x, edge_index)


def transformer(dtype: torch.dtype) -> tuple[IntegralOperator, Layer]:
    conv = TransformerConv(DIM, OUT // HEADS, HEADS, bias=False).to(dtype)
    attention: Any = {"name": "itnet-kernels/attention", "heads": HEADS, "head_dim": OUT // HEADS}
    kernel = MessagePassingKernel(DIM, kernel=attention)
    operator = IntegralOperator(DIM, kernel, out_dim=OUT, head_dim=OUT // HEADS).to(dtype)
    for linear, of_conv in (
        (kernel.kernel.query, conv.lin_query),
        (kernel.kernel.key, conv.lin_key),
        (operator.value[0], conv.lin_value),  # type: ignore[index]
    ):
        copy(linear, of_conv.weight)
    copy(operator.output[-1], torch.eye(OUT))  # type: ignore[index]
    copy(operator.pointwise, conv.lin_skip.weight)
    return operator, lambda x, edge_index, weight: conv(x, edge_index)


def copy(linear: Any, weight: Tensor, bias: Tensor | None = None) -> None:
    linear.weight.data.copy_(weight)
    if bias is not None:
        linear.bias.data.copy_(bias)


def by_operator(operator: IntegralOperator, graphs: Iterable[Graph], x: Tensor) -> Tensor:
    """Return the operator's values at the nodes of all graphs."""
    batch = Graphs.of(list(graphs))
    values = batch.x.masked_scatter(batch.mask.unsqueeze(-1), x)
    values = torch.where(batch.mask.unsqueeze(-1), values, 7.0)  # padding must not matter
    weights = batch.mask / batch.sizes.unsqueeze(1)
    field = Field(values, values.new_zeros(*values.shape[:2], 4), weights.to(x)).with_edges(batch.edges)
    return operator(field).values[batch.mask]


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("undirected", [True, False], ids=["undirected", "directed"])
@pytest.mark.parametrize(
    ("make", "loops", "weighted"),
    [
        (gcn, True, True),
        (gcn, False, False),
        (gin, True, False),
        (sage, True, False),
        (gat, True, False),
        (gat, False, False),
        (gat_v2, True, False),
        (transformer, True, False),
    ],
)
def test_values_and_gradients_are_those_of_the_layer(
    make: Callable[[torch.dtype], tuple[IntegralOperator, Layer]],
    loops: bool,
    weighted: bool,
    undirected: bool,
    dtype: torch.dtype,
) -> None:
    torch.manual_seed(0)
    operator, layer = make(dtype)
    graphs = random_graphs(1, undirected=undirected, loops=loops, weighted=weighted, dtype=dtype)
    together = Batch.from_data_list([Data(x=g.x, edge_index=g.edge_index, edge_weight=g.edge_weight) for g in graphs])
    x = together.x.clone().requires_grad_()
    expected = layer(x, together.edge_index, together.edge_weight)
    direction = torch.randn_like(expected)
    [expected_gradient] = torch.autograd.grad(expected, x, direction)
    for evaluator in EVALUATORS:
        operator.evaluator = operator.evaluator if evaluator is None else evaluator
        x = together.x.clone().requires_grad_()
        actual = by_operator(operator, graphs, x)
        [gradient] = torch.autograd.grad(actual, x, direction)
        torch.testing.assert_close(actual, expected, rtol=BOUNDS[dtype], atol=BOUNDS[dtype])
        torch.testing.assert_close(gradient, expected_gradient, rtol=BOUNDS[dtype], atol=BOUNDS[dtype])
