"""Kernels over the past are causal, and take their fast paths on long timelines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from itnet_core import DenseEvaluator, Field, IntegralOperator, Kernel
from itnet_kernels.attention.linear_attention import LinearAttentionKernel
from itnet_kernels.attention.retention import RetentionKernel
from itnet_kernels.state_space.mamba import MambaKernel
from itnet_kernels.state_space.mamba2 import Mamba2Kernel
from itnet_kernels.state_space.s4 import S4Kernel
from itnet_kernels.state_space.s4d import S4DKernel

KERNELS: dict[str, tuple[type[Kernel], dict[str, Any]]] = {
    "linear-attention": (LinearAttentionKernel, {"heads": 2, "support": {"causal": "t"}}),
    "retention": (RetentionKernel, {"heads": 2}),
    "s4d": (S4DKernel, {"state": 4}),
    "s4": (S4Kernel, {"state": 4}),
    "mamba": (MambaKernel, {"state": 3}),
    "mamba2": (Mamba2Kernel, {"heads": 2, "state": 3}),
}
ROUNDED = ("s4", "mamba2")
"""By FFT, or in chunks whose form depends on the decay: later points may change the rounding of a sum."""


def operator(name: str) -> IntegralOperator:
    """Return an operator with the kernel, in float64."""
    torch.manual_seed(0)
    cls, options = KERNELS[name]
    return IntegralOperator(4, cls(4, **options), pointwise=False).double()


@pytest.mark.parametrize("name", KERNELS)
def test_it_is_causal(timeline: Callable[..., Field], name: str) -> None:
    """Not by a bit, but for rounding."""
    values = torch.randn(2, 150, 4, dtype=torch.float64)
    changed = values.clone()
    changed[:, 70:] = 1e3 * torch.randn(2, 80, 4, dtype=torch.float64)
    ours = operator(name)
    for evaluator in (ours.evaluator, DenseEvaluator()):
        ours.evaluator = evaluator
        actual, expected = (ours(timeline(item)).values[:, :70] for item in (changed, values))
        exact = name not in ROUNDED or isinstance(evaluator, DenseEvaluator)
        torch.testing.assert_close(actual, expected, rtol=0, atol=0 if exact else 1e-10)
        assert not torch.equal(ours(timeline(changed)).values, ours(timeline(values)).values)


@pytest.mark.parametrize("name", KERNELS)
def test_fast_paths_apply_to_a_timeline(timeline: Callable[..., Field], name: str) -> None:
    """Sixteen thousand points: the sum over pairs would take 1 GB for each head; float32 agrees to 1e-4."""
    ours = operator(name)
    values = torch.randn(1, 2**14, 4)
    field = timeline(values.double())
    assert ours.kernel.can_integrate(ours.kernel.problem(field, field, ours.value(field.values)))
    with torch.no_grad():
        expected = ours(field).values
        actual = ours.float()(timeline(values)).values
    assert actual.isfinite().all()
    assert (actual.double() - expected).abs().max() <= 1e-4 * expected.abs().max()
