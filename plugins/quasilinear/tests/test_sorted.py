from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import (
    AutoEvaluator,
    ConfigError,
    DenseEvaluator,
    Field,
    IntegralOperator,
    Kernel,
    MLPKernel,
    Points,
    TiledEvaluator,
)
from itnet_quasilinear import SortedEvaluator

ADDITIVE: dict[str, Any] = {"inputs": ("query", "key", "displacement")}


class Another(MLPKernel):
    """A subclass, which may compute anything."""


def arguments(kernel: Kernel, n: int = 5, m: int = 7) -> tuple[Kernel, Points, Points, Tensor]:
    torch.manual_seed(0)
    dtype = next(kernel.parameters()).dtype
    query, key = (Field(torch.randn(2, k, 8), torch.rand(2, k, 4)).to(dtype) for k in (n, m))
    terms = kernel.project(query, key)
    sides = [Points(t, f.positions, f.weights) for t, f in zip(terms, (query, key), strict=True)]
    return kernel, sides[0], sides[1], torch.randn(2, m, kernel.heads, 3, dtype=dtype)


@pytest.mark.parametrize("inputs", [("query",), ("key",), ("displacement",), ("query", "key"), ("key", "displacement")])
def test_every_choice_of_additive_inputs(inputs: tuple[Any, ...]) -> None:
    case = arguments(MLPKernel(8, inputs=inputs).double())
    assert SortedEvaluator().evaluates(*case)
    torch.testing.assert_close(SortedEvaluator()(*case), DenseEvaluator()(*case), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("kernel", "found"),
    [
        (Another(8, **ADDITIVE), "a Another"),
        (MLPKernel(8, inputs=("query", "key", "product", "distance")), "the inputs product, distance"),
        (MLPKernel(8, inputs=("displacement", "fourier")), "the inputs fourier"),
        (MLPKernel(8, **ADDITIVE, activation="silu"), "the activation silu"),
        (MLPKernel(8, **ADDITIVE, normalization="softmax"), "the normalization softmax"),
        (MLPKernel(8, **ADDITIVE, support={"causal": "t"}), "the support {'causal': 't'}"),
        (MLPKernel(8, **ADDITIVE, support={"radius": 0.5}), "the support {'radius': 0.5}"),
    ],
)
def test_what_is_not_additive_is_refused(kernel: Kernel, found: str) -> None:
    case = arguments(kernel)
    assert not SortedEvaluator().evaluates(*case)
    with pytest.raises(ConfigError) as raised:
        SortedEvaluator()(*case)
    assert raised.value.found == found
    assert "SortedEvaluator(kernel)" in str(raised.value)
    assert "relu" in raised.value.expected
    assert "'tiled'" in raised.value.hint


def test_inputs_are_declared_and_not_probed() -> None:
    """A weight that happens to be 0 makes no kernel additive: the next step of training would undo it."""
    kernel = MLPKernel(8, inputs=("query", "product"))
    with torch.no_grad():
        kernel.first.weight[:, kernel.inputs.columns["product"]] = 0
    assert not SortedEvaluator().evaluates(*arguments(kernel))


def test_auto_takes_it_for_many_points_alone() -> None:
    auto = AutoEvaluator()
    auto.offer([SortedEvaluator()])
    kernel = MLPKernel(8, **ADDITIVE)
    assert isinstance(auto.choice(*arguments(kernel, 4096, 4096)), SortedEvaluator)
    assert isinstance(auto.choice(*arguments(kernel, 512, 512)), DenseEvaluator)
    assert isinstance(auto.choice(*arguments(MLPKernel(8), 4096, 4096)), TiledEvaluator)


def test_float16_values_are_summed_in_float32() -> None:
    kernel, query, key, values = arguments(MLPKernel(8, **ADDITIVE), 40, 3000)
    found = SortedEvaluator()(kernel, query, key, values.half())
    expected = DenseEvaluator()(kernel, query, key, values.half().float())
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=1e-4)


def test_under_autocast_it_sums_in_float32() -> None:
    case = arguments(MLPKernel(8, **ADDITIVE))
    expected = SortedEvaluator()(*case)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(SortedEvaluator()(*case), expected)


def test_in_an_operator() -> None:
    kernel = MLPKernel(8, **ADDITIVE)
    torch.manual_seed(0)
    operator = IntegralOperator(8, kernel, evaluator=SortedEvaluator()).double()
    field = Field(torch.randn(2, 33, 8), torch.rand(2, 33, 4)).to(torch.float64)
    found = operator(field).values
    operator.evaluator = DenseEvaluator()
    torch.testing.assert_close(found, operator(field).values, rtol=1e-9, atol=1e-9)
