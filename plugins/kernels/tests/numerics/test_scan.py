"""Scans are their recurrences."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from itnet_kernels.numerics.scan import scan


def looped(factors: Tensor, increments: Tensor, initial: Tensor | None) -> Tensor:
    """Return the states, step by step."""
    state = torch.zeros_like(increments[:, 0]) if initial is None else initial
    states = []
    for step in range(increments.shape[1]):
        state = factors[:, step] * state + increments[:, step]
        states.append(state)
    return torch.stack(states, dim=1)


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 2),
    steps=st.sampled_from([*range(1, 12), 40, 150]),
    width=st.lists(st.integers(1, 3), max_size=2),
    started=st.booleans(),
    dtype=st.sampled_from([torch.float64, torch.complex128]),
)
def test_it_is_the_recurrence(batch: int, steps: int, width: list[int], started: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    factors = torch.rand(batch, steps, *width, dtype=dtype) * torch.rand(batch, steps, *width).round()  # some are 0
    increments = torch.randn(batch, steps, *width, dtype=dtype)
    inputs = [factors, increments, *([torch.randn(batch, *width, dtype=dtype)] if started else [])]
    inputs = [item.requires_grad_() for item in inputs]
    pairs = [(run(*inputs, *([] if started else [None]))) for run in (scan, looped)]
    torch.testing.assert_close(pairs[0], pairs[1], rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(pairs[0])
    mine, theirs = (torch.autograd.grad((out * direction).abs().square().sum(), inputs) for out in pairs)
    for left, right in zip(mine, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)


def test_factors_broadcast_and_have_second_derivatives() -> None:
    torch.manual_seed(0)
    factors = torch.rand(3, dtype=torch.float64, requires_grad=True)
    increments = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(scan(factors, increments), looped(factors.expand(2, 7, 3), increments, None))
    assert torch.autograd.gradgradcheck(scan, (factors, increments))


@pytest.mark.parametrize("gate", [0.0, 1e-30, 0.5, 1 - 1e-6, 1.0])
def test_long_sequences_stay_finite(gate: float) -> None:
    """16k steps in float32: within 1e-5 of float64, relative to the largest state."""
    torch.manual_seed(0)
    factors, increments = torch.full((1, 2**14, 2), gate), torch.randn(1, 2**14, 2)
    inputs = factors.requires_grad_(), increments.requires_grad_()
    precise = [item.detach().double().requires_grad_() for item in inputs]
    actual, expected = scan(*inputs), scan(*precise)
    gradients = [torch.autograd.grad(out.sum(), item) for out, item in ((actual, inputs), (expected, precise))]
    for low, high in zip((actual, *gradients[0]), (expected, *gradients[1]), strict=True):
        assert low.isfinite().all()
        assert (low.double() - high).abs().max() <= 1e-5 * high.abs().max()
