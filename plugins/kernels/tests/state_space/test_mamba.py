"""Mamba's kernel is its recurrence, and its scan transformers'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from itnet_core import AutoEvaluator, DenseEvaluator, DerivativeError, Field, IntegralOperator
from itnet_kernels.numerics import selective_scan as blocks
from itnet_kernels.numerics.selective_scan import selective_scan
from itnet_kernels.state_space.mamba import MambaKernel

EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-10}


def looped(steps: Tensor, inputs: Tensor, rates: Tensor, to_state: Tensor, from_state: Tensor) -> Tensor:
    """Return h_t = e^{AΔ_t} h_{t−1} + B_t x_t, y_t = C_t h_t, step by step."""
    state, out = torch.zeros(()), []
    for t in range(steps.shape[1]):
        driven = to_state[:, t].unsqueeze(1) * inputs[:, t].unsqueeze(-1)
        state = (rates * steps[:, t].unsqueeze(-1)).exp() * state + driven
        out.append((state * from_state[:, t].unsqueeze(1)).sum(-1))
    return torch.stack(out, dim=1)


@pytest.mark.parametrize("evaluator", [AutoEvaluator(), DenseEvaluator()])
@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 2), dim=st.integers(1, 4), state=st.integers(1, 4), steps=st.sampled_from([1, 2, 7, 64, 100])
)
def test_it_is_the_recurrence(
    timeline: Callable[..., Field],
    check_recurrence: Callable[..., None],
    evaluator: Any,
    batch: int,
    dim: int,
    state: int,
    steps: int,
) -> None:
    torch.manual_seed(0)
    kernel = MambaKernel(dim, state=state)
    operator = IntegralOperator(dim, kernel, evaluator=evaluator, pointwise=False).double()
    inputs = torch.randn(batch, steps, dim, dtype=torch.float64, requires_grad=True)
    delta = F.softplus(kernel.to_step(kernel.to_rank(inputs)))
    expected = looped(
        delta, delta * inputs, -kernel.log_decay.exp(), kernel.to_state(inputs), kernel.from_state(inputs)
    )
    check_recurrence(operator, timeline(inputs), expected)


@settings(max_examples=20, deadline=None)
@given(
    batch=st.integers(1, 2),
    steps=st.integers(1, 40),
    channels=st.integers(1, 4),
    state=st.integers(1, 3),
    block=st.sampled_from([1, 40, 10**6]),
)
def test_the_size_of_blocks_does_not_matter(batch: int, steps: int, channels: int, state: int, block: int) -> None:
    torch.manual_seed(0)
    shapes = ((batch, steps, channels), (batch, steps, channels), (channels, state), *((batch, steps, state),) * 2)
    given = [torch.rand(shape, dtype=torch.float64) for shape in shapes]
    given[2] = -given[2]
    given = [item.requires_grad_() for item in given]
    before, blocks.BLOCK = blocks.BLOCK, block
    try:
        actual, expected = selective_scan(*given), looped(*given)
        torch.testing.assert_close(actual, expected, **EXACT)
        direction = torch.randn_like(expected)
        mine, theirs = (torch.autograd.grad((out * direction).sum(), given) for out in (actual, expected))
    finally:
        blocks.BLOCK = before
    for left, right in zip(mine, theirs, strict=True):
        torch.testing.assert_close(left, right, **EXACT)


def test_second_derivatives_are_refused() -> None:
    given = [torch.rand(1, 3, 2), torch.rand(1, 3, 2, requires_grad=True), -torch.rand(2, 1), *torch.rand(2, 1, 3, 1)]
    with pytest.raises(DerivativeError, match="first derivatives only"):
        torch.autograd.grad(selective_scan(*given).sum(), given[1], create_graph=True)


@pytest.mark.parametrize("bias", [-12.0, 12.0])
def test_sixteen_thousand_steps_in_float32(
    timeline: Callable[..., Field], check_float32: Callable[..., None], bias: float
) -> None:
    """Gates near 1 and near 0: within 3e-4 of float64, relative to the largest result, gradients too."""
    torch.manual_seed(0)
    operator: Any = IntegralOperator(4, MambaKernel(4, state=3), pointwise=False)
    with torch.no_grad():
        operator.kernel.to_step.bias.fill_(bias)
    check_float32(operator, timeline(torch.randn(1, 2**14, 4)), 3e-4)
