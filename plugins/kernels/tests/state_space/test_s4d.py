"""S4D is its recurrence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from itnet_core import AutoEvaluator, ConfigError, DenseEvaluator, Field, IntegralOperator, ShapeError
from itnet_kernels.state_space.s4d import S4DKernel


def looped(kernel: S4DKernel, inputs: Tensor, times: Tensor) -> Tensor:
    """Return y = 2 Re C h with h ← e^{ΔA (t − s)} h + (e^{ΔA} − 1)/A u, step by step."""
    rates = torch.complex(-kernel.log_decay.exp(), kernel.frequency)
    step = kernel.log_step.exp().unsqueeze(-1)
    held = ((step * rates).exp() - 1) / rates
    state, out = torch.zeros((), dtype=torch.complex128), []
    for t in range(inputs.shape[1]):
        lag = times[t] - times[max(t - 1, 0)]
        state = (step * rates * lag).exp() * state + held * inputs[:, t].unsqueeze(-1)
        out.append(2 * (torch.view_as_complex(kernel.output_weight) * state).sum(-1).real)
    return torch.stack(out, dim=1)


@pytest.mark.parametrize("evaluator", [AutoEvaluator(), DenseEvaluator()])
@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 2),
    dim=st.integers(1, 3),
    modes=st.integers(1, 4),
    steps=st.sampled_from([1, 2, 7, 64, 150]),
    even=st.booleans(),
)
def test_it_is_the_recurrence(
    check_recurrence: Callable[..., None], evaluator: Any, batch: int, dim: int, modes: int, steps: int, even: bool
) -> None:
    torch.manual_seed(0)
    kernel = S4DKernel(dim, state=2 * modes, unit=0.5)
    operator = IntegralOperator(dim, kernel, evaluator=evaluator, pointwise=False).double()
    inputs = torch.randn(batch, steps, dim, dtype=torch.float64, requires_grad=True)
    times = torch.arange(steps, dtype=torch.float64)
    times = times if even else times + 0.3 * torch.rand(steps, dtype=torch.float64)
    positions = torch.zeros(batch, steps, 4, dtype=torch.float64)
    positions[..., 0] = 0.5 * times
    check_recurrence(operator, Field(inputs, positions), looped(kernel, inputs, times))


@pytest.mark.parametrize("decay", [1e-9, 1e2])
def test_sixteen_thousand_steps_in_float32(
    timeline: Callable[..., Field], check_float32: Callable[..., None], decay: float
) -> None:
    """Within 1e-5 of float64, relative to the largest number, for modes that hardly decay and that vanish at once."""
    torch.manual_seed(0)
    operator: Any = IntegralOperator(4, S4DKernel(4, state=8, step_max=1.0), pointwise=False)
    with torch.no_grad():
        operator.kernel.log_decay.fill_(torch.tensor(decay).log())
    check_float32(operator, timeline(torch.randn(1, 2**14, 4)), 1e-5)


def test_invalid_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="S4DKernel.state: found 3; expected a multiple of 2"):
        S4DKernel(4, state=3)
    with pytest.raises(ShapeError, match="6 channels in heads of 1; expected 4 channels, each a head"):
        IntegralOperator(4, S4DKernel(4), out_dim=6)
