"""Every kernel passes the conformance kit: blocks, tiles, fast paths, supports, padding, gradients."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from itnet_core import Field
from itnet_testing import KernelConformance
from itnet_testing.fields import scattered


def on_time(case: KernelConformance, seed: int = 0) -> Field:
    """Return a field at unequal steps of time, in order, with random weights, where recurrences have fast paths."""
    field = scattered(dim=case.dim, seed=seed)
    positions = field.positions.clone()
    positions[..., 0] = positions[..., 0].sort(dim=-1).values
    return Field(field.values, positions, field.weights)


class TestAttention(KernelConformance):
    component = "itnet-kernels/attention"


class TestAttentionOfGroups(KernelConformance):
    component = "itnet-kernels/attention"
    options: ClassVar = {"heads": 4, "key_heads": 2, "bias": True, "rotary": True, "unit": 0.1}


class TestAttentionOnATimeline(KernelConformance):
    """Equal weights and points in order, where causal attention has its fast path."""

    component = "itnet-kernels/attention"
    options: ClassVar = {"heads": 2, "head_dim": 6, "bias": True}

    def field(self, seed: int = 0) -> Field:
        scattered = super().field(seed)
        return Field.on_grid(scattered.values, axes="t")


class TestAttentionWithALiBi(KernelConformance):
    component = "itnet-kernels/attention"
    options: ClassVar = {"alibi": True, "unit": 0.1}
    expected_failures: ClassVar = {"integrate_exactness": "a bias for each pair has no fast path"}


class TestSkeleton(KernelConformance):
    component = "itnet-kernels/skeleton"
    options: ClassVar = {"pivots": 5, "mlp": {"heads": 2, "hidden": 6, "rank": 3, "frequencies": 2}}


class TestGaussian(KernelConformance):
    component = "itnet-kernels/gaussian"


class TestLowRank(KernelConformance):
    component = "itnet-kernels/low-rank"
    options: ClassVar = {"rank": 5, "hidden": 6}


class TestLSTM(KernelConformance):
    component = "itnet-kernels/lstm"


@pytest.mark.slow
class TestLSTMByNewton(KernelConformance):
    component = "itnet-kernels/lstm"
    dim = 2
    options: ClassVar = {"solver": "newton", "tolerance": 1e-12, "bias": False, "axis": 3}


class TestGRU(KernelConformance):
    component = "itnet-kernels/gru"


@pytest.mark.slow
class TestGRUByNewton(KernelConformance):
    component = "itnet-kernels/gru"
    dim = 2
    options: ClassVar = {"solver": "newton", "tolerance": 1e-12, "bias": False, "axis": "x"}


class TestConvolution(KernelConformance):
    component = "itnet-kernels/convolution"


class TestConvolutionOnAGrid(KernelConformance):
    """Cells of the grid's own size, where there is a fast path."""

    component = "itnet-kernels/convolution"
    options: ClassVar = {"spacing": 0.5, "groups": 2, "dilation": [1, 2]}

    def field(self, seed: int = 0) -> Field:
        values = super().field(seed).values[:, :8]
        return Field.on_grid(torch.unflatten(values, 1, (4, 2)), axes="yx", bounds=[(-1, 1), (0, 1)])


class TestCausalConvolution(KernelConformance):
    component = "itnet-kernels/convolution"
    options: ClassVar = {"kernel_size": [3], "axes": "t", "spacing": 0.25, "causal": True, "groups": 8}

    def field(self, seed: int = 0) -> Field:
        return Field.on_grid(super().field(seed).values[:, :8], axes="t")


class TestContinuousConvolution(KernelConformance):
    component = "itnet-kernels/continuous-convolution"
    options: ClassVar = {"hidden": 6}


class TestContinuousConvolutionByAnMLP(KernelConformance):
    component = "itnet-kernels/continuous-convolution"
    options: ClassVar = {"hidden": 6, "network": "mlp", "layers": 1}


class TestLinearAttention(KernelConformance):
    component = "itnet-kernels/linear-attention"


class TestLinearAttentionOnATimeline(KernelConformance):
    component = "itnet-kernels/linear-attention"
    options: ClassVar = {"heads": 2, "head_dim": 3, "bias": True}
    field = on_time


class TestRetention(KernelConformance):
    component = "itnet-kernels/retention"
    options: ClassVar = {"unit": 0.1}


class TestRetentionWithoutRotation(KernelConformance):
    component = "itnet-kernels/retention"
    options: ClassVar = {"heads": 2, "head_dim": 3, "rotary": False}
    field = on_time


class TestS4D(KernelConformance):
    component = "itnet-kernels/s4d"
    options: ClassVar = {"state": 6, "unit": 0.1}


class TestS4DOnATimeline(KernelConformance):
    component = "itnet-kernels/s4d"
    options: ClassVar = {"state": 4, "unit": 0.1}
    field = on_time


class TestMamba(KernelConformance):
    component = "itnet-kernels/mamba"
    options: ClassVar = {"state": 3}


class TestMambaOnATimeline(KernelConformance):
    component = "itnet-kernels/mamba"
    options: ClassVar = {"state": 2, "rank": 2, "step_max": 1.0}
    field = on_time


class TestMamba2(KernelConformance):
    component = "itnet-kernels/mamba2"
    options: ClassVar = {"state": 3}


class TestMamba2OnATimeline(KernelConformance):
    component = "itnet-kernels/mamba2"
    options: ClassVar = {"state": 2, "groups": 2, "step_max": 1.0}
    field = on_time


class TestS4(KernelConformance):
    component = "itnet-kernels/s4"
    options: ClassVar = {"state": 4, "unit": 1 / 7}  # two steps from point to point of the kit's line


class TestS4OnATimeline(KernelConformance):
    component = "itnet-kernels/s4"
    options: ClassVar = {"state": 3, "unit": 2 / 7}

    def field(self, seed: int = 0) -> Field:
        return Field.on_grid(super().field(seed).values[:, :7], axes="t")
