"""Newton's method on whole paths."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from itnet_core import DerivativeError
from itnet_kernels.numerics.newton import Cell, linear_recurrence, solve
from itnet_kernels.recurrent.cells import GRUCell, LSTMCell

HIDDEN = 3
MAKERS: dict[str, tuple[int, Callable[[list[Tensor]], Cell]]] = {
    "lstm": (2 * HIDDEN, lambda parts: LSTMCell(parts[0], parts[1])),
    "gru": (HIDDEN, lambda parts: GRUCell(parts[0], parts[1], parts[2])),
}


def parts(name: str, steps: int, *, batch: int = 2, scale: float = 1.0) -> list[Tensor]:
    """Return a cell's inputs, weight and bias, and a start."""
    gates = {"lstm": 4, "gru": 3}[name] * HIDDEN
    shapes = ((batch, steps, gates), (gates, HIDDEN), (gates,), (batch, MAKERS[name][0]))
    generator = torch.Generator().manual_seed(steps)
    return [scale * torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]


def stepped(name: str, tensors: list[Tensor]) -> Tensor:
    """Return the states one after another."""
    inputs, weight, bias, state = tensors
    states = []
    for t in range(inputs.shape[1]):
        state = MAKERS[name][1]([inputs[:, t : t + 1], weight, bias])(state.unsqueeze(1)).squeeze(1)
        states.append(state)
    return torch.stack(states, dim=1)


def solved(name: str, tensors: list[Tensor]) -> Tensor:
    """Return the states by Newton's method."""
    *mine, start = tensors
    states, report = solve(
        MAKERS[name][1](mine), start, tensors[0].shape[1], tolerance=1e-13, max_iterations=tensors[0].shape[1] + 2
    )
    assert report.converged
    return states


@given(steps=st.integers(1, 40), size=st.integers(1, 4), batch=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_the_scan_is_the_recurrence(steps: int, size: int, batch: int) -> None:
    generator = torch.Generator().manual_seed(steps)
    matrices = torch.randn(batch, steps, size, size, generator=generator, dtype=torch.float64)
    offsets = torch.randn(batch, steps, size, generator=generator, dtype=torch.float64)
    state, states = torch.zeros(batch, size, dtype=torch.float64), []
    for t in range(steps):
        state = (matrices[:, t] @ state.unsqueeze(-1)).squeeze(-1) + offsets[:, t]
        states.append(state)
    expected = torch.stack(states, dim=1)
    torch.testing.assert_close(
        linear_recurrence(matrices, offsets), expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item()
    )


@pytest.mark.parametrize("name", MAKERS)
def test_the_jacobian_is_the_derivative(name: str) -> None:
    size, make = MAKERS[name]
    inputs, weight, bias, start = (tensor.detach() for tensor in parts(name, 1, batch=1))
    cell = make([inputs, weight, bias])
    expected = torch.func.jacrev(lambda state: cell(state.view(1, 1, size)).flatten())(start[0])
    torch.testing.assert_close(cell.jacobian(start.view(1, 1, size))[0, 0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", MAKERS)
@given(steps=st.integers(1, 40), batch=st.integers(1, 3), scale=st.sampled_from([0.3, 1.0, 3.0]))
@settings(max_examples=15, deadline=None)
def test_the_solution_is_the_stepped_one_and_so_are_its_gradients(
    name: str, steps: int, batch: int, scale: float
) -> None:
    tensors = parts(name, steps, batch=batch, scale=scale)
    actual, expected = solved(name, tensors), stepped(name, tensors)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    target = torch.linspace(-1, 1, actual.numel(), dtype=actual.dtype).view_as(actual)
    for mine, theirs in zip(
        torch.autograd.grad(actual, tensors, target, allow_unused=True),
        torch.autograd.grad(expected, tensors, target, allow_unused=True),
        strict=True,
    ):
        if theirs is None:
            assert mine is None
            continue
        assert mine is not None
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-9 * theirs.abs().max().item())


@pytest.mark.parametrize("name", MAKERS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    assert torch.autograd.gradcheck(lambda *tensors: solved(name, list(tensors)), parts(name, 5, batch=1))


@pytest.mark.parametrize("name", MAKERS)
def test_each_iteration_makes_one_more_state_exact_at_least(name: str) -> None:
    tensors = [tensor.detach() for tensor in parts(name, 12, scale=4.0)]
    *mine, start = tensors
    expected = stepped(name, tensors)
    for iterations in range(1, 6):
        actual, _ = solve(MAKERS[name][1](mine), start, 12, tolerance=1e-13, max_iterations=iterations)
        torch.testing.assert_close(actual[:, :iterations], expected[:, :iterations], rtol=1e-9, atol=1e-9)


def test_the_report_shows_missing_convergence() -> None:
    *mine, start = parts("lstm", 30, scale=3.0)
    _, report = solve(LSTMCell(mine[0], mine[1]), start, 30, tolerance=1e-13, max_iterations=1)
    assert (report.converged, report.iterations) == (False, 1)
    assert report.residual > 1e-13


def test_second_derivatives_are_refused() -> None:
    tensors = parts("gru", 4)
    with pytest.raises(DerivativeError, match='Use solver="step"'):
        torch.autograd.grad(solved("gru", tensors).sum(), tensors, create_graph=True, allow_unused=True)
