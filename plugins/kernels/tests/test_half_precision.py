"""Half precision: as near to float32 as its own rounding of weights and values, on points far from the origin too."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from itnet_core import Field, IntegralOperator, Kernel, MLPKernel
from itnet_core.evaluate import AutoEvaluator, DenseEvaluator
from itnet_kernels.attention import AttentionKernel
from itnet_kernels.continuous_convolution import ContinuousConvolutionKernel
from itnet_kernels.gaussian import GaussianKernel
from itnet_kernels.mamba import MambaKernel
from itnet_kernels.mamba2 import Mamba2Kernel
from itnet_kernels.retention import RetentionKernel
from itnet_kernels.s4 import S4Kernel
from itnet_kernels.s4d import S4DKernel

KERNELS: dict[str, tuple[type[Kernel], dict[str, Any]]] = {
    "mlp": (MLPKernel, {"position_dim": 1}),
    "rotary": (AttentionKernel, {"rotary": True, "support": {"causal": 0}}),
    "alibi": (AttentionKernel, {"alibi": True, "support": {"causal": 0}}),
    "gaussian": (GaussianKernel, {}),
    "continuous-convolution": (ContinuousConvolutionKernel, {"position_dim": 1}),
    "retention": (RetentionKernel, {"axis": 0}),
    "s4": (S4Kernel, {"state": 8, "axis": 0}),
    "s4d": (S4DKernel, {"state": 8, "axis": 0}),
    "mamba": (MambaKernel, {"axis": 0}),
    "mamba2": (Mamba2Kernel, {"axis": 0}),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("way", ["bfloat16", "autocast"])
def test_half_precision_is_near_to_float32(name: str, way: str) -> None:
    torch.manual_seed(0)
    cls, options = KERNELS[name]
    evaluator = DenseEvaluator() if name == "alibi" else AutoEvaluator()
    operator = IntegralOperator(8, cls(8, **options), evaluator=evaluator, pointwise=False).bfloat16()
    values = torch.randn(1, 600, 8).bfloat16()
    positions = torch.arange(600.0).view(1, -1, 1)
    weights = torch.ones(1, 600)
    with torch.no_grad():
        precise = operator.float()(Field(values.float(), positions, weights, grid=(600,))).values
        if way == "bfloat16":
            found = operator.bfloat16()(Field(values, positions, weights, grid=(600,))).values
        else:
            with torch.autocast("cpu", torch.bfloat16):
                found = operator(Field(values.float(), positions, weights, grid=(600,))).values
    assert float((found.float() - precise).norm() / precise.norm()) < 0.03
