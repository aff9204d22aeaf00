"""Kernels made of others pass the conformance kit."""

from __future__ import annotations

from typing import ClassVar

import torch

from itnet_core import Field
from itnet_testing import KernelConformance

GAUSSIAN = {"name": "gaussian", "heads": 2}
MLP = {"name": "mlp", "heads": 2, "hidden": 5, "rank": 3, "frequencies": 2}
CAUSAL = {"causal": "t"}


class TestSum(KernelConformance):
    component = "itnet-kernels/sum"
    options: ClassVar = {"kernels": ["attention", MLP, {"name": "gaussian", "support": {"radius": 0.9}}]}


class TestSumWithAConvolution(KernelConformance):
    """Two measures, two numbers of channels a head, and a fast path with the maps."""

    component = "itnet-kernels/sum"
    options: ClassVar = {"kernels": [{"name": "convolution", "spacing": 0.5}, {"name": "attention", "heads": 2}]}

    def field(self, seed: int = 0) -> Field:
        values = super().field(seed).values[:, :8]
        return Field.on_grid(torch.unflatten(values, 1, (4, 2)), axes="yx", bounds=[(-1, 1), (0, 1)])


class TestSumOfStreams(KernelConformance):
    component = "itnet-kernels/sum"
    options: ClassVar = {
        "kernels": [
            {"name": "attention", "heads": 2, "support": CAUSAL},
            {"name": "scaled", "kernel": {"name": "mamba2", "state": 2}, "start": 0.7},
        ]
    }


class TestProduct(KernelConformance):
    component = "itnet-kernels/product"
    options: ClassVar = {"kernels": [MLP, {"name": "gaussian", "heads": 1, "support": {"window": 0.9}}]}


class TestProductOfLogits(KernelConformance):
    component = "itnet-kernels/product"
    options: ClassVar = {
        "kernels": [
            {"name": "attention", "heads": 2, "support": CAUSAL},
            {
                "name": "scaled",
                "kernel": {**MLP, "normalization": "softmax", "support": {"radius": 1.2}},
                "scales": "kernel",
                "start": 0.5,
            },
        ]
    }


class TestScaled(KernelConformance):
    component = "itnet-kernels/scaled"


class TestScaledConvolution(TestSumWithAConvolution):
    component = "itnet-kernels/scaled"
    options: ClassVar = {"kernel": {"name": "convolution", "spacing": 0.5}, "start": 0.3}


class TestScaledOfK(KernelConformance):
    component = "itnet-kernels/scaled"
    options: ClassVar = {"kernel": GAUSSIAN, "scales": "kernel", "start": 0.3}
