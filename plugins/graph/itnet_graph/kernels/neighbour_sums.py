"""Sums over neighbours: the graph convolutions GCN and GIN."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from itnet_core import ComponentConfig, Field, Kernel
from itnet_graph.kernels.edge_kernel import Aggregation, EdgeKernel


class ConstantKernel(Kernel[Tensor, None]):
    """The kernel k = 1 of one head, with all channels."""

    heads = 1
    values = "full"

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return ones, (B, N, 1) and (B, M, 1)."""
        return query.values.new_ones(*query.values.shape[:2], 1), key.values.new_ones(*key.values.shape[:2], 1)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Return ones, (B, 1, n, m)."""
        return torch.ones_like(query_terms @ key_terms.transpose(1, 2)).unsqueeze(1)


class GINKernel(EdgeKernel):
    """Sum over neighbours: k = a(x, y), the weight of the edge from y to x.

    With the sum, the operator is M Σ_y a(x, y) u(y) + W_o u(x) + b. The graph isomorphism network (Xu et al., arXiv
    1810.00826, eq. 4.1) has W_o = (1 + ε) M, and an MLP after it, as a block has its feed-forward part. With the mean,
    the operator is that of GraphSAGE (Hamilton et al., arXiv 1706.02216).

    Example:
        >>> from itnet_core import Edges, IntegralOperator
        >>> edges = Edges(torch.tensor([[[1], [0], [1]]]), torch.ones(1, 3, 1))
        >>> operator = IntegralOperator(8, GINKernel(8))
        >>> operator(Field(torch.randn(1, 3, 8), torch.zeros(1, 3, 4)).with_edges(edges)).values.shape
        torch.Size([1, 3, 8])

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.
    """

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(ConstantKernel(), self.configure(config, options))


class GCNKernel(GINKernel):
    """Graph convolution: k = a(x, y) / √(d(x) d(y)), with self loops of weight 1, and d(x) = Σ_y a(x, y).

    Kipf & Welling, arXiv 1609.02907, eq. 2. The operator without W_o is PyTorch Geometric's `GCNConv`.

    Example:
        >>> from itnet_core import Edges, IntegralOperator
        >>> edges = Edges(torch.tensor([[[1], [0], [1]]]), torch.ones(1, 3, 1))
        >>> operator = IntegralOperator(8, GCNKernel(8), pointwise=False)
        >>> operator(Field(torch.randn(1, 3, 8), torch.zeros(1, 3, 4)).with_edges(edges)).values.shape
        torch.Size([1, 3, 8])
    """

    class Config(EdgeKernel.Config):
        aggregation: Aggregation = "symmetric"
        """`sum` takes the weights of the edges; `mean` divides them by their sum d(x); `symmetric` by √(d(x) d(y))."""
        self_loops: bool = True
        """Whether to add an edge of weight 1 from each node to itself, where there is none."""
