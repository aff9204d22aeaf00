"""S4 is its recurrence, and its convolution kernel."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from itnet_core import AutoEvaluator, ConfigError, DenseEvaluator, Field, IntegralOperator
from itnet_kernels.state_space.s4 import S4Kernel, hippo_legs

EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-10}


def discrete(kernel: S4Kernel) -> tuple[Tensor, Tensor, Tensor]:
    """Return Ā, B̄ and C, from the dense matrix by the bilinear rule."""
    low_rank, given, output = (
        torch.view_as_complex(item) for item in (kernel.low_rank, kernel.input_weight, kernel.output_weight)
    )
    matrix = torch.diag_embed(torch.complex(-kernel.log_decay.exp(), kernel.frequency))
    matrix = matrix - torch.einsum("dn,dm->dnm", low_rank, low_rank.conj())
    step, one = kernel.log_step.exp().view(-1, 1, 1), torch.eye(matrix.shape[-1])
    inverse = torch.linalg.inv(one - step / 2 * matrix)
    return inverse @ (one + step / 2 * matrix), (inverse @ (step * given.unsqueeze(-1))).squeeze(-1), output


def looped(kernel: S4Kernel, inputs: Tensor, apart: int) -> Tensor:
    """Return h ← Ā h + B̄ u, y = Re C h, step by step, with nothing to add at the steps between."""
    matrix, held, output = discrete(kernel)
    state, out = torch.zeros_like(inputs[:, 0]).unsqueeze(-1) * held, []
    for t in range(inputs.shape[1]):
        for _ in range(apart):
            state = torch.einsum("dnm,bdm->bdn", matrix, state)
        state = state + held * inputs[:, t].unsqueeze(-1)
        out.append((output * state).sum(-1).real)
    return torch.stack(out, dim=1)


@pytest.mark.parametrize("evaluator", [AutoEvaluator(), DenseEvaluator()])
@settings(max_examples=12, deadline=None)
@given(
    batch=st.integers(1, 2),
    dim=st.integers(1, 3),
    state=st.integers(1, 6),
    steps=st.sampled_from([1, 2, 7, 40]),
    apart=st.integers(1, 3),
)
def test_it_is_the_recurrence(
    timeline: Callable[..., Field],
    check_recurrence: Callable[..., None],
    evaluator: Any,
    batch: int,
    dim: int,
    state: int,
    steps: int,
    apart: int,
) -> None:
    torch.manual_seed(0)
    kernel = S4Kernel(dim, state=state, unit=0.5)
    operator = IntegralOperator(dim, kernel, evaluator=evaluator, pointwise=False).double()
    inputs = torch.randn(batch, steps, dim, dtype=torch.float64, requires_grad=True)
    check_recurrence(operator, timeline(inputs, step=0.5 * apart), looped(kernel, inputs, apart))


@pytest.mark.parametrize("lags", [1, 2, 63, 300])
def test_the_generating_function_is_the_table_and_the_powers(lags: int) -> None:
    """64 states, from HiPPO's matrix, which no table may diagonalise."""
    torch.manual_seed(0)
    kernel = S4Kernel(2, state=64).double()
    matrix, held, output = discrete(kernel)
    powers, expected = held, []
    for _ in range(lags):
        expected.append((output * powers).sum(-1).real)
        powers = torch.einsum("dnm,dm->dn", matrix, powers)
    for actual in (kernel._table(lags), kernel._profile(lags)):
        torch.testing.assert_close(actual, torch.stack(expected, dim=-1), **EXACT)


def test_it_starts_as_hippo() -> None:
    """The eigenvalues of LegS are −1, …, −N; its diagonal plus low-rank form has the same characteristic polynomial."""
    eigenvalues, low_rank, _ = hippo_legs(6)
    matrix = torch.diag(eigenvalues) - torch.outer(low_rank, low_rank.conj())
    actual = torch.linalg.eigvals(matrix).real.sort(descending=True).values
    torch.testing.assert_close(actual, -torch.arange(1, 7, dtype=torch.float64), rtol=1e-6, atol=0)


def test_sixteen_thousand_steps_in_float32(timeline: Callable[..., Field], check_float32: Callable[..., None]) -> None:
    """Within 1e-5 of float64, relative to the largest number, of results and gradients."""
    torch.manual_seed(0)
    operator = IntegralOperator(2, S4Kernel(2, state=8, unit=0.5), pointwise=False)
    check_float32(operator, timeline(torch.randn(1, 2**14, 2)), 1e-5)


def test_too_many_states_are_refused_quickly() -> None:
    """Their eigenvalue problem takes most of a minute, and matrices that no limit on a model's memory counts."""
    start = time.process_time()
    with pytest.raises(ConfigError, match=r"S4Kernel\.state: found 4096; expected less than or equal to 512"):
        S4Kernel(8, state=4096)
    assert time.process_time() - start < 1
