from __future__ import annotations

from typing import ClassVar

from itnet_core import Field
from itnet_testing import KernelConformance
from itnet_testing.fields import with_edges


class OverEdges(KernelConformance):
    def field(self, seed: int = 0) -> Field:
        """Return a field with edges."""
        return with_edges(super().field(seed))


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
