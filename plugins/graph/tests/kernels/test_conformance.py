from __future__ import annotations

from typing import ClassVar

import torch

from itnet_core import Edges, Field
from itnet_testing import KernelConformance
from itnet_testing.fields import scattered


def graph_field(dim: int, seed: int, points: int = 11) -> Field:
    """Return a field with random edges, some of them double, of random weights; no edge leads to the last point."""
    generator = torch.Generator().manual_seed(0)
    field = scattered(points=points, dim=dim, seed=seed)
    sources = torch.randint(points, (2, points, 4), generator=generator)
    weights = torch.rand(2, points, 4, generator=generator) * (torch.rand(2, points, 4, generator=generator) < 0.7)
    weights[:, -1] = 0
    return field.with_edges(Edges(sources, weights))


class OverEdges(KernelConformance):
    def field(self, seed: int = 0) -> Field:
        """Return a field with edges."""
        return graph_field(self.dim, seed)


class TestGCN(OverEdges):
    component = "itnet-graph/gcn"


class TestGIN(OverEdges):
    component = "itnet-graph/gin"


class TestGAT(OverEdges):
    component = "itnet-graph/gat"
    options: ClassVar = {"heads": 2, "hidden": 3}


class TestMessagePassing(OverEdges):
    component = "itnet-graph/message-passing"
    options: ClassVar = {"kernel": {"name": "itnet-core/mlp", "hidden": 5, "activation": "silu"}}
