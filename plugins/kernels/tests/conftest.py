"""Fixtures of the kernels' tests: points on a time axis, a sampler, and comparisons of operators."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from itnet_core import DenseEvaluator, Field, IntegralOperator, Nodes, Sampler


@pytest.fixture(scope="session")
def timeline() -> Callable[..., Field]:
    """Return a function that places values, (B, N, d), at 0, step, 2 step, … on the time axis of R^4."""

    def place(values: Tensor, weights: Tensor | None = None, step: float = 1.0) -> Field:
        batch, points, _ = values.shape
        positions = values.new_zeros(batch, points, 4)
        positions[..., 0] = step * torch.arange(points)
        return Field(values, positions, values.new_ones(batch, points) if weights is None else weights)

    return place


@pytest.fixture(scope="session")
def check_recurrence() -> Callable[[IntegralOperator, Field, Tensor], None]:
    """Return a check that an operator gives the same as a loop, gradients to values and parameters included."""

    def check(operator: IntegralOperator, field: Field, expected: Tensor) -> None:
        actual = operator(field).values
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)
        direction = torch.randn_like(expected)
        leaves = [field.values, *operator.parameters()]
        ours, theirs = (torch.autograd.grad((out * direction).sum(), leaves) for out in (actual, expected))
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)

    return check


@pytest.fixture
def check_conversion(by_pairs: Callable[[nn.Module], nn.Module]) -> Callable[..., None]:
    """Return a check that a converted model has the outputs and gradients of the original, by fast paths and pairs."""

    def check(
        ours: nn.Module, theirs: nn.Module, outputs: Callable[[nn.Module], list[Tensor]], tolerance: float
    ) -> None:
        near: dict[str, Any] = dict.fromkeys(("rtol", "atol"), tolerance)
        expected = outputs(theirs)
        gradients = torch.autograd.grad(expected[0].square().sum(), [*theirs.parameters()], allow_unused=True)
        for model in (ours, by_pairs(copy.deepcopy(ours))):
            actual = outputs(model)
            torch.testing.assert_close(actual, expected, **near)
            found = torch.autograd.grad(actual[0].square().sum(), [*model.parameters()], allow_unused=True)
            for mine, its in zip(found, gradients, strict=True):
                assert (mine is None) == (its is None)
                if mine is not None:
                    scale = its.abs().max().clamp(min=1)
                    torch.testing.assert_close(mine / scale, its / scale, **near)

    return check


@pytest.fixture(scope="session")
def check_float32() -> Callable[[IntegralOperator, Field, float], None]:
    """Return a check that float32 is near float64, relative to the largest number of the result or the gradient."""

    def check(operator: IntegralOperator, field: Field, tolerance: float) -> None:
        results = []
        for dtype in (torch.float32, torch.float64):
            same = field.to(dtype)
            values = same.values.clone().requires_grad_()
            out = operator.to(dtype)(same.with_values(values)).values
            results.append((out, *torch.autograd.grad(out.square().mean(), values)))
        for single, double in zip(*results, strict=True):
            assert single.isfinite().all()
            assert (single.double() - double).abs().max() <= tolerance * double.abs().max()

    return check


@pytest.fixture(scope="session")
def by_pairs() -> Callable[[nn.Module], nn.Module]:
    """Return a function that makes the operators of a module sum over all pairs, and returns the module."""

    def set_evaluators(module: nn.Module) -> nn.Module:
        for part in module.modules():
            if isinstance(part, IntegralOperator):
                part.evaluator = DenseEvaluator()
        return module

    return set_evaluators


class Half(Sampler):
    """The points of even numbers, in a mixed order, which stand for two each."""

    def forward(self, query: Field, key: Field) -> Nodes:
        count = key.values.shape[1] // 2
        indices = 2 * torch.arange(count).flip(0).expand(len(key.values), -1)
        return Nodes(indices, 2 * key.weights.gather(1, indices))


@pytest.fixture(scope="session")
def half() -> type[Sampler]:
    """Return a sampler of every other point."""
    return Half
