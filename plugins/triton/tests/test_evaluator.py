from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch

from itnet_core import MLPKernel, PointTerms, Support
from itnet_testing import EvaluatorConformance
from itnet_testing.conformance.evaluators import ADDITIVE
from itnet_testing.conformance.problems import Case


class TestTriton(EvaluatorConformance):
    component = "itnet-triton/triton"
    options: ClassVar = {"interpret": True}

    def cases(self) -> Iterator[Case]:
        small: dict[str, Any] = {"hidden": 2, "rank": 2, "frequencies": 1, "heads": 2}
        torch.manual_seed(0)
        yield self.case("relu", MLPKernel(8, **small), (2, 7, 11))
        yield self.case("additive", MLPKernel(8, inputs=ADDITIVE, activation="tanh", **small), (1, 1, 1), 1)
        softmax = MLPKernel(8, normalization="softmax", activation="gelu", support=Support(causal="t"), **small)
        yield self.case("causal softmax", softmax, (1, 20, 3), 8)
        causal = MLPKernel(8, activation="silu", support=Support(causal="t"), **small)
        yield self.case("causal", causal, (1, 3, 35))
        yield self.case("radius", MLPKernel(8, support=Support(radius=0.5), **small), (1, 3, 4))
        near = Support(causal="t", radius=1.5)
        yield self.case("near tiles", MLPKernel(8, normalization="softmax", support=near, **small), (2, 17, 40))
        yield self.case("edge", MLPKernel(8, support=Support(radius=0.5, edge=0.1), **small), (1, 3, 4))
        yield self.case("own tile", _Twice(8, **small), (1, 3, 4))


class _Twice(MLPKernel):
    def tile(self, query_terms: PointTerms, key_terms: PointTerms) -> torch.Tensor:
        return 2 * super().tile(query_terms, key_terms)
