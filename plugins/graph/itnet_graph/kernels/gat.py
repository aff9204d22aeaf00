"""Graph attention."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Field, Kernel, ScalarConfig
from itnet_graph.kernels.edge_kernel import EdgeKernel


class GATKernel(EdgeKernel):
    """Graph attention: k_h = a_hᵀ LeakyReLU(Q_h u(x) + K_h u(y)) over the edges to x, with self loops and softmax.

    With one hidden channel, this is GAT (Veličković et al., arXiv 1710.10903, eq. 3): there Q and K are products of the
    attention's vectors and V, and a is 1. With more, it is GATv2 (Brody et al., arXiv 2105.14491, eq. 7): there K is V.
    The operator without W_o is PyTorch Geometric's `GATConv` or `GATv2Conv`. A weight of an edge multiplies e^k.

    Example:
        >>> from itnet_core import Edges, IntegralOperator
        >>> edges = Edges(torch.tensor([[[1], [0], [1]]]), torch.ones(1, 3, 1))
        >>> operator = IntegralOperator(8, GATKernel(8, heads=2, hidden=4))
        >>> operator(Field(torch.randn(1, 3, 8), torch.zeros(1, 3, 4)).with_edges(edges)).values.shape
        torch.Size([1, 3, 8])

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.
    """

    class Config(ScalarConfig, EdgeKernel.Config):
        heads: PositiveInt = 4
        """Number of heads."""
        hidden: PositiveInt = 1
        """Hidden channels of each head's scores: 1 for GAT, dim // heads for GATv2."""
        slope: NonNegativeFloat = 0.2
        """Slope of LeakyReLU for negative numbers."""
        self_loops: bool = True
        """Whether to add an edge of weight 1 from each node to itself, where there is none."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        config = self.configure(config, options)
        super().__init__(AdditiveScores(dim, config), config)


class AdditiveScores(Kernel[Tensor, None]):
    """Scores a_hᵀ LeakyReLU(Q_h u(x) + K_h u(y)), to be normalised by softmax."""

    normalization = "softmax"

    def __init__(self, dim: int, config: Any) -> None:
        super().__init__()
        self.heads, self.values = config.heads, config.values
        self.hidden, self.slope = config.hidden, config.slope
        self.query = nn.Linear(dim, self.heads * self.hidden)
        self.key = nn.Linear(dim, self.heads * self.hidden, bias=False)
        self.attention = nn.Parameter(torch.full((self.heads, self.hidden), self.hidden**-0.5))

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Compute Q u(x), (B, N, heads, hidden), and K u(y), (B, M, heads, hidden)."""
        sides = self.query(query.values), self.key(key.values)
        queries, keys = (torch.unflatten(side, -1, (self.heads, self.hidden)) for side in sides)
        return queries, keys

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Compute the scores, (B, heads, n, m)."""
        hidden = F.leaky_relu(query_terms.unsqueeze(2) + key_terms.unsqueeze(1), self.slope)
        return torch.einsum("bnmhc,hc->bhnm", hidden, self.attention)

    @property
    def pair_width(self) -> int:
        """The hidden channels of all heads."""
        return self.heads * self.hidden
