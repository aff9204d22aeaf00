"""Mamba-2's kernel is its recurrence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from itnet_core import AutoEvaluator, ConfigError, DenseEvaluator, Field, IntegralOperator
from itnet_kernels.state_space.mamba2 import Mamba2Kernel


def looped(kernel: Mamba2Kernel, inputs: Tensor, values: Tensor) -> Tensor:
    """Return H_t = e^{AΔ_t} H_{t−1} + Δ_t B_t v_tᵀ, y_t = C_tᵀ H_t, step by step."""
    shape = (kernel.config.groups, kernel.config.state)
    steps = F.softplus(kernel.to_step(inputs) + kernel.step_bias)
    to_state, from_state = (
        side(inputs).unflatten(-1, shape).repeat_interleave(kernel.heads // shape[0], dim=2)
        for side in (kernel.to_state, kernel.from_state)
    )
    state, out = torch.zeros(()), []
    for t in range(inputs.shape[1]):
        decay = (-kernel.log_decay.exp() * steps[:, t])[..., None, None].exp()
        driven = steps[:, t, :, None, None] * to_state[:, t].unsqueeze(-1) * values[:, t].unsqueeze(-2)
        state = decay * state + driven
        out.append((from_state[:, t].unsqueeze(-1) * state).sum(-2))
    return torch.stack(out, dim=1)


@pytest.mark.parametrize("evaluator", [AutoEvaluator(), DenseEvaluator()])
@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 2),
    groups=st.integers(1, 2),
    of_a_group=st.integers(1, 2),
    width=st.integers(1, 3),
    state=st.integers(1, 4),
    steps=st.sampled_from([1, 2, 7, 64, 65, 150]),
)
def test_it_is_the_recurrence(
    timeline: Callable[..., Field],
    check_recurrence: Callable[..., None],
    evaluator: Any,
    batch: int,
    groups: int,
    of_a_group: int,
    width: int,
    state: int,
    steps: int,
) -> None:
    torch.manual_seed(0)
    heads = groups * of_a_group
    kernel = Mamba2Kernel(heads * width, heads=heads, groups=groups, state=state)
    operator = IntegralOperator(heads * width, kernel, evaluator=evaluator, pointwise=False).double()
    inputs = torch.randn(batch, steps, heads * width, dtype=torch.float64, requires_grad=True)
    expected = operator.output(looped(kernel, inputs, operator.value(inputs)))
    check_recurrence(operator, timeline(inputs), expected)


def test_steps_keep_their_bounds(timeline: Callable[..., Field]) -> None:
    torch.manual_seed(0)
    kernel = Mamba2Kernel(8, clamp_min=0.2, clamp_max=0.3)
    field = timeline(10 * torch.randn(1, 50, 8))
    (_, _), (_, steps, _) = kernel.project(field, field)
    assert (float(steps.min()), float(steps.max())) == pytest.approx((0.2, 0.3))


@pytest.mark.parametrize("bias", [-12.0, 12.0])
def test_sixteen_thousand_steps_in_float32(
    timeline: Callable[..., Field], check_float32: Callable[..., None], bias: float
) -> None:
    """Gates near 1 and near 0: within 1e-4 of float64, relative to the largest result, gradients too."""
    torch.manual_seed(0)
    operator: Any = IntegralOperator(4, Mamba2Kernel(4, heads=2, state=3), pointwise=False)
    with torch.no_grad():
        operator.kernel.step_bias.fill_(bias)
    check_float32(operator, timeline(torch.randn(1, 2**14, 4)), 1e-4)


def test_uneven_groups_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected heads = 4 to be a multiple of groups = 3"):
        Mamba2Kernel(8, groups=3)
