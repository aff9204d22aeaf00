"""S4D is its recurrence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from itnet_core import AutoEvaluator, ConfigError, DenseEvaluator, Field, IntegralOperator, ShapeError
from itnet_kernels.state_space.s4d import S4DKernel

EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-10}


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
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 2),
    dim=st.integers(1, 3),
    modes=st.integers(1, 4),
    steps=st.sampled_from([1, 2, 7, 64, 150]),
    even=st.booleans(),
)
def test_it_is_the_recurrence(evaluator: Any, batch: int, dim: int, modes: int, steps: int, even: bool) -> None:
    torch.manual_seed(0)
    kernel = S4DKernel(dim, state=2 * modes, unit=0.5)
    operator = IntegralOperator(dim, kernel, evaluator=evaluator, pointwise=False).double()
    inputs = torch.randn(batch, steps, dim, dtype=torch.float64, requires_grad=True)
    times = torch.arange(steps, dtype=torch.float64)
    times = times if even else times + 0.3 * torch.rand(steps, dtype=torch.float64)
    positions = torch.zeros(batch, steps, 4, dtype=torch.float64)
    positions[..., 0] = 0.5 * times
    found = operator(Field(inputs, positions)).values
    expected = looped(kernel, inputs, times)
    torch.testing.assert_close(found, expected, **EXACT)
    direction = torch.randn_like(expected)
    leaves = [inputs, *operator.parameters()]
    mine, theirs = (torch.autograd.grad((out * direction).sum(), leaves) for out in (found, expected))
    for left, right in zip(mine, theirs, strict=True):
        torch.testing.assert_close(left, right, **EXACT)


@pytest.mark.parametrize("decay", [1e-9, 1e2])
def test_sixteen_thousand_steps_in_float32(decay: float) -> None:
    """Within 1e-5 of float64, relative to the largest result, for modes that hardly decay and that vanish at once."""
    torch.manual_seed(0)
    operator: Any = IntegralOperator(4, S4DKernel(4, state=8, step_max=1.0), pointwise=False)
    with torch.no_grad():
        operator.kernel.log_decay.fill_(torch.tensor(decay).log())
    inputs, positions = torch.randn(1, 2**14, 4), torch.zeros(1, 2**14, 4)
    positions[..., 0] = torch.arange(2**14)
    found = operator(Field(inputs, positions)).values
    expected = operator.double()(Field(inputs.double(), positions.double())).values
    assert found.isfinite().all()
    assert (found.double() - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="S4DKernel.state: found 3; expected a multiple of 2"):
        S4DKernel(4, state=3)
    with pytest.raises(ShapeError, match="6 channels in heads of 1; expected 4 channels, each a head"):
        IntegralOperator(4, S4DKernel(4), out_dim=6)
