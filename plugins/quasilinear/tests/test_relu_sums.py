from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from itnet_core import DerivativeError
from itnet_quasilinear import relu_sums as module
from itnet_quasilinear.relu_sums import relu_sums


def sides(batch: int, n: int, m: int, hidden: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (batch, n, hidden), (batch, m, hidden), (hidden, d), (batch, m, d)
    a, b, second, u = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return a, b, second, u


def dense(a: Tensor, b: Tensor, second: Tensor, u: Tensor) -> Tensor:
    return torch.einsum("bnmc,cd,bmd->bnd", (a.unsqueeze(2) + b.unsqueeze(1)).relu(), second, u)


def assert_same(tensors: Sequence[Tensor]) -> None:
    """Values and all gradients are those of the sum over pairs."""
    tensors = [tensor.detach().requires_grad_() for tensor in tensors]
    actual, expected = relu_sums(*tensors), dense(*tensors)
    weights = torch.linspace(-1, 1.5, actual.numel(), dtype=actual.dtype).view_as(actual)
    pairs = [(actual, expected)]
    pairs += zip(*(torch.autograd.grad(item, tensors, weights) for item in (actual, expected)), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * max(1e-3, float(other.detach().abs().max())))


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 3),
    n=st.integers(1, 90),
    m=st.integers(1, 90),
    hidden=st.integers(1, 5),
    d=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_equals_the_sum_over_pairs(batch: int, n: int, m: int, hidden: int, d: int, seed: int) -> None:
    assert_same(sides(batch, n, m, hidden, d, seed))


@pytest.mark.parametrize("shift", [-20.0, 20.0])
def test_all_a_above_or_below_all_b(shift: float) -> None:
    a, *others = sides(2, 50, 70, 3, 4)
    assert_same((a + shift, *others))


def test_ties() -> None:
    """Among the a, among the b, and pairs with a + b = 0, where the derivative is 0 as in PyTorch."""
    a, b, *others = sides(2, 100, 130, 3, 4)
    a, b = a.round(), b.round()
    assert (a.unsqueeze(2) + b.unsqueeze(1) == 0).any()
    assert_same((a, b, *others))


@pytest.mark.parametrize("constant", [0.0, 0.3])
def test_constant_b(constant: float) -> None:
    a, b, *others = sides(1, 40, 75, 2, 3)
    assert_same((a, torch.full_like(b, constant), *others))
    assert_same((torch.full_like(a, -constant), torch.full_like(b, constant), *others))


def test_a_huge_range() -> None:
    a, b, *others = sides(1, 40, 75, 2, 3)
    assert_same((1e6 * a, 1e-3 * b, *others))
    assert_same((1e-3 * a, 1e6 * b, *others))


def test_hidden_units_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    given = sides(2, 50, 70, 5, 4)
    whole = relu_sums(*given)
    monkeypatch.setattr(module, "CPU_BYTES", 1)
    torch.testing.assert_close(relu_sums(*given), whole, rtol=1e-13, atol=1e-13)
    assert_same(given)


def test_float32_is_accurate_with_65536_points() -> None:
    """The error against float64 is a few of float32's roundings, for values of mean 0 and for values that add up."""
    for shift in (0.0, 1.0):
        a, b, second, u = sides(1, 65536, 65536, 1, 2)
        tensors = [tensor.float() for tensor in (a, b, second, u + shift)]
        actual = relu_sums(*tensors)
        expected = relu_sums(*(tensor.double() for tensor in tensors))
        error = (actual - expected).abs().max() / expected.abs().max()
        assert error < 4 * torch.finfo(torch.float32).eps, f"shift {shift}: {error:.2g}"


def test_second_derivatives_are_refused() -> None:
    tensors = [tensor.requires_grad_() for tensor in sides(1, 3, 4, 2, 2)]
    with pytest.raises(DerivativeError, match="create_graph=True.*Use the evaluator 'dense'"):
        torch.autograd.grad(relu_sums(*tensors).sum(), tensors, create_graph=True)
