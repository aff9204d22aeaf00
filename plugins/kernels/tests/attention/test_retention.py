"""Retention is RetNet's recurrent form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from itnet_core import AutoEvaluator, DenseEvaluator, Field, IntegralOperator, ShapeError
from itnet_kernels.attention.retention import RetentionKernel

EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-10}


def looped(kernel: RetentionKernel, inputs: Tensor, values: Tensor) -> Tensor:
    """Return S_n = γ S_{n−1} + k_nᵀ v_n, q_n S_n, with q and k as complex numbers that turn with n."""
    heads, width = kernel.heads, kernel.head_dim
    queries, keys = (linear(inputs).unflatten(-1, (heads, width)) for linear in (kernel.query, kernel.key))
    gamma = 1 - 2 ** (-5 - torch.arange(heads, dtype=torch.float64))
    angles = 10000 ** (-torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    state, out = torch.zeros((), dtype=torch.float64), []
    for n in range(values.shape[1]):
        q, k = queries[:, n], keys[:, n] / width**0.5
        if kernel.config.rotary:
            turn = torch.polar(torch.ones_like(angles), n * angles)
            q, k = (torch.complex(*side.chunk(2, dim=-1)) * turn for side in (q, k))
        outer = k.conj().unsqueeze(-1) * values[:, n].unsqueeze(-2)
        state = gamma.view(-1, 1, 1) * state + outer
        out.append((q.unsqueeze(-1) * state).sum(-2).real)
    return torch.stack(out, dim=1)


@pytest.mark.parametrize("evaluator", [AutoEvaluator(), DenseEvaluator()])
@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 2),
    heads=st.integers(1, 3),
    half=st.integers(1, 2),
    steps=st.sampled_from([1, 7, 64, 65, 150]),
    rotary=st.booleans(),
)
def test_it_is_the_recurrence(
    timeline: Callable[..., Field],
    check_recurrence: Callable[..., None],
    evaluator: Any,
    batch: int,
    heads: int,
    half: int,
    steps: int,
    rotary: bool,
) -> None:
    torch.manual_seed(0)
    dim = heads * 2 * half
    kernel = RetentionKernel(dim, heads=heads, rotary=rotary)
    operator = IntegralOperator(dim, kernel, evaluator=evaluator, pointwise=False).double()
    inputs = torch.randn(batch, steps, dim, dtype=torch.float64, requires_grad=True)
    expected = operator.output(looped(kernel, inputs, operator.value(inputs)))
    check_recurrence(operator, timeline(inputs), expected)


def test_the_unit_is_the_length_of_a_step(timeline: Callable[..., Field]) -> None:
    torch.manual_seed(0)
    field = timeline(torch.randn(1, 9, 8, dtype=torch.float64))
    operator = IntegralOperator(8, RetentionKernel(8)).double()
    scaled = IntegralOperator(8, RetentionKernel(8, unit=0.125)).double()
    scaled.load_state_dict(operator.state_dict())
    slow = Field(field.values, field.positions * 0.125, field.weights)
    torch.testing.assert_close(scaled(slow).values, operator(field).values, **EXACT)


def test_odd_channels_with_rotary_are_refused() -> None:
    with pytest.raises(ShapeError, match="an even one with rotary"):
        RetentionKernel(6, heads=2)
