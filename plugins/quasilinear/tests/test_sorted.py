from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from itnet_core import (
    AutoEvaluator,
    ConfigError,
    DenseEvaluator,
    Field,
    IntegralOperator,
    Kernel,
    MLPKernel,
    Problem,
    TiledEvaluator,
)
from itnet_quasilinear import SortedEvaluator

ADDITIVE: dict[str, Any] = {"inputs": ("query", "key", "displacement")}
INPUTS = "inputs among displacement, key, query"


class Another(MLPKernel):
    """A subclass, which may compute anything."""


def problem_of(kernel: Kernel, n: int = 5, m: int = 7) -> Problem:
    torch.manual_seed(0)
    dtype = next(kernel.parameters()).dtype
    query, key = (Field(torch.randn(2, k, 8), torch.rand(2, k, 4)).to(dtype) for k in (n, m))
    return kernel.problem(query, key, torch.randn(2, m, kernel.heads, 3, dtype=dtype))


@pytest.mark.parametrize("inputs", [("query",), ("key",), ("displacement",), ("query", "key"), ("key", "displacement")])
def test_every_choice_of_additive_inputs(inputs: tuple[Any, ...]) -> None:
    problem = problem_of(MLPKernel(8, inputs=inputs).double())
    assert SortedEvaluator().supports(problem)
    torch.testing.assert_close(SortedEvaluator()(problem), DenseEvaluator()(problem), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("kernel", "found", "expected"),
    [
        (Another(8, **ADDITIVE), "the kernel Another", "MLPKernel itself"),
        (MLPKernel(8, inputs=("query", "key", "product", "distance")), "the inputs product, distance", INPUTS),
        (MLPKernel(8, inputs=("displacement", "fourier")), "the inputs fourier", INPUTS),
        (MLPKernel(8, **ADDITIVE, activation="silu"), "the activation silu", "one of relu"),
        (MLPKernel(8, **ADDITIVE, normalization="softmax"), "the normalization softmax", "none"),
        (MLPKernel(8, **ADDITIVE, support={"causal": "t"}), "the support {'causal': 't'}", "every pair"),
        (MLPKernel(8, **ADDITIVE, support={"radius": 0.5}), "the support {'radius': 0.5}", "every pair"),
    ],
)
def test_what_is_not_additive_is_refused(kernel: Kernel, found: str, expected: str) -> None:
    problem = problem_of(kernel)
    assert not SortedEvaluator().supports(problem)
    with pytest.raises(ConfigError, match="^SortedEvaluator: .*Use the evaluator 'auto' or 'tiled'") as raised:
        SortedEvaluator()(problem)
    assert (raised.value.found, raised.value.expected) == (found, expected)


def test_inputs_are_declared_and_not_probed() -> None:
    """A weight that happens to be 0 makes no kernel additive: the next step of training would undo it."""
    kernel = MLPKernel(8, inputs=("query", "product"))
    with torch.no_grad():
        kernel.first.weight[:, kernel.inputs.columns["product"]] = 0
    assert not SortedEvaluator().supports(problem_of(kernel))


def test_auto_takes_it_for_many_points_alone() -> None:
    auto = AutoEvaluator(evaluators=[SortedEvaluator()])
    kernel = MLPKernel(8, **ADDITIVE)
    assert isinstance(auto.choose(problem_of(kernel, 4096, 4096)), SortedEvaluator)
    assert isinstance(auto.choose(problem_of(kernel, 512, 512)), DenseEvaluator)
    assert isinstance(auto.choose(problem_of(MLPKernel(8), 4096, 4096)), TiledEvaluator)


def test_float16_values_are_summed_in_float32() -> None:
    problem = problem_of(MLPKernel(8, **ADDITIVE), 40, 3000)
    values = problem.values.half()
    found = SortedEvaluator()(replace(problem, values=values))
    expected = DenseEvaluator()(replace(problem, values=values.float()))
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=1e-4)


def test_under_autocast_it_sums_in_float32() -> None:
    problem = problem_of(MLPKernel(8, **ADDITIVE))
    expected = SortedEvaluator()(problem)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(SortedEvaluator()(problem), expected)


def test_in_an_operator() -> None:
    kernel = MLPKernel(8, **ADDITIVE)
    torch.manual_seed(0)
    operator = IntegralOperator(8, kernel, evaluator=SortedEvaluator()).double()
    field = Field(torch.randn(2, 33, 8), torch.rand(2, 33, 4)).to(torch.float64)
    found = operator(field).values
    operator.evaluator = DenseEvaluator()
    torch.testing.assert_close(found, operator(field).values, rtol=1e-9, atol=1e-9)
