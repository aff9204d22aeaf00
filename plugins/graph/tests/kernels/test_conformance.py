from __future__ import annotations

from typing import ClassVar

from itnet_testing import KernelConformance


class TestGCN(KernelConformance):
    component = "itnet-graph/gcn"


class TestGIN(KernelConformance):
    component = "itnet-graph/gin"


class TestGAT(KernelConformance):
    component = "itnet-graph/gat"
    options: ClassVar = {"heads": 2, "hidden": 3}


class TestMessagePassing(KernelConformance):
    component = "itnet-graph/message-passing"
    options: ClassVar = {"kernel": {"name": "itnet-core/mlp", "hidden": 5, "activation": "silu"}}
