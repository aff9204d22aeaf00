"""Half precision: as near to float32 as its own rounding of weights and values, on points far from the origin too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import (
    AutoEvaluator,
    DenseEvaluator,
    Evaluator,
    Field,
    IntegralOperator,
    Kernel,
    MLPKernel,
    TiledEvaluator,
)
from itnet_kernels.attention.attention import AttentionKernel
from itnet_kernels.attention.linear_attention import LinearAttentionKernel
from itnet_kernels.attention.retention import RetentionKernel
from itnet_kernels.convolution.continuous_convolution import ContinuousConvolutionKernel
from itnet_kernels.convolution.gaussian import GaussianKernel
from itnet_kernels.low_rank.low_rank import LowRankKernel
from itnet_kernels.state_space.mamba import MambaKernel
from itnet_kernels.state_space.mamba2 import Mamba2Kernel
from itnet_kernels.state_space.s4 import S4Kernel
from itnet_kernels.state_space.s4d import S4DKernel

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
            actual = operator.bfloat16()(Field(values, positions, weights, grid=(600,))).values
        else:
            with torch.autocast("cpu", torch.bfloat16):
                actual = operator(Field(values.float(), positions, weights, grid=(600,))).values
    assert float((actual.float() - precise).norm() / precise.norm()) < 0.03


def half(kernel: Kernel, evaluator: Evaluator, field: Field) -> tuple[Tensor, Tensor]:
    """Return what an operator gives in float16, and the dense sum in float64 with the same weights."""
    operator = IntegralOperator(8, kernel, evaluator=evaluator, pointwise=False).half()
    with torch.no_grad():
        actual = operator(Field(field.values.half(), field.positions, field.weights)).values
        operator.evaluator = DenseEvaluator()
        exact = operator.double()(field.to(torch.float64).with_values(field.values.half().double())).values
    return actual.double(), exact


EVALUATORS = [DenseEvaluator(), TiledEvaluator(key_tile=5), AutoEvaluator()]


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_a_low_rank_kernel_reads_positions_that_float16_does_not_hold(evaluator: Evaluator) -> None:
    torch.manual_seed(0)
    kernel: Any = LowRankKernel(8, position_dim=1)
    with torch.no_grad():  # trained on such positions
        kernel.query_factor[0].weight[:, 8:] *= 1e-5
        kernel.key_factor[0].weight[:, 8:] *= 1e-5
    field = Field(torch.randn(2, 12, 8), 1e6 * torch.randn(2, 12, 1))
    actual, exact = half(kernel, evaluator, field)
    assert float((actual - exact).norm() / exact.norm()) < 0.01


@pytest.mark.parametrize("evaluator", EVALUATORS)
@pytest.mark.parametrize("cls", [AttentionKernel, LinearAttentionKernel])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_normalised_sum_takes_weights_that_float16_does_not_hold(
    scale: float, cls: type[Kernel], evaluator: Evaluator
) -> None:
    torch.manual_seed(0)
    weights = scale * torch.rand(2, 12) * torch.tensor([1.0, 1e-4]).repeat(6)
    actual, exact = half(cls(8), evaluator, Field(torch.randn(2, 12, 8), torch.randn(2, 12, 1), weights))
    assert float((actual - exact).norm() / exact.norm()) < 0.01
