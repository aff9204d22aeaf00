"""What all kernels over the past have in common."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import DenseEvaluator, Field, IntegralOperator, Kernel, Points
from itnet_kernels.attention.linear_attention import LinearAttentionKernel
from itnet_kernels.state_space.mamba import MambaKernel
from itnet_kernels.state_space.mamba2 import Mamba2Kernel
from itnet_kernels.attention.retention import RetentionKernel
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
"""By FFT, or in chunks whose way depends on how fast they decay: what comes later may change how a sum is rounded."""


def timeline(values: Tensor) -> Field:
    """Return values at 0, 1, 2, … on the time axis."""
    positions = values.new_zeros(*values.shape[:2], 4)
    positions[..., 0] = torch.arange(values.shape[1])
    return Field(values, positions)


def operator(name: str) -> IntegralOperator:
    """Return an operator with the kernel, in float64."""
    torch.manual_seed(0)
    cls, options = KERNELS[name]
    return IntegralOperator(4, cls(4, **options), pointwise=False).double()


@pytest.mark.parametrize("name", KERNELS)
def test_the_future_changes_nothing_in_the_past(name: str) -> None:
    """Not by a bit, but for rounding."""
    values = torch.randn(2, 150, 4, dtype=torch.float64)
    changed = values.clone()
    changed[:, 70:] = 1e3 * torch.randn(2, 80, 4, dtype=torch.float64)
    ours = operator(name)
    for evaluator in (ours.evaluator, DenseEvaluator()):
        ours.evaluator = evaluator
        found, expected = (ours(timeline(each)).values[:, :70] for each in (changed, values))
        exact = name not in ROUNDED or isinstance(evaluator, DenseEvaluator)
        torch.testing.assert_close(found, expected, rtol=0, atol=0 if exact else 1e-10)
        assert not torch.equal(ours(timeline(changed)).values, ours(timeline(values)).values)


@pytest.mark.parametrize("name", KERNELS)
def test_shortcuts_are_taken_on_a_timeline(name: str) -> None:
    """Sixteen thousand points: the sum over pairs would take 1 GB for each head; and float32 is float64 to 1e-4."""
    ours = operator(name)
    values = torch.randn(1, 2**14, 4)
    field = timeline(values.double())
    terms = ours.kernel.project(field, field)
    points = [Points(term, field.positions, field.weights) for term in terms]
    assert ours.kernel.integrates(*points)
    with torch.no_grad():
        expected = ours(field).values
        found = ours.float()(timeline(values)).values
    assert found.isfinite().all()
    assert (found.double() - expected).abs().max() <= 1e-4 * expected.abs().max()
