"""Every installed evaluator refuses a problem that it does not support in one way, and `auto` repeats its reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import AutoEvaluator, ConfigError, Evaluator, Field, IntegralOperator, Kernel
from itnet_registry import Registry, create

SPECIAL = ("itnet-native/native", "itnet-triton/triton", "itnet-quasilinear/sorted", "itnet-quasilinear/chebyshev")


class Product(Kernel[Tensor, None]):
    """k = ⟨x, y⟩, which only evaluators of any kernel support."""

    heads = 1

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        return query.positions, key.positions

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        return (query_terms @ key_terms.transpose(1, 2)).unsqueeze(1)


def field() -> Field:
    return Field(torch.randn(1, 9, 4), torch.rand(1, 9, 2))


@pytest.mark.parametrize("name", SPECIAL)
def test_an_evaluator_of_mlp_kernels_refuses_others(name: str) -> None:
    evaluator: Evaluator = create("evaluator", name)
    given = field()
    problem = Product().problem(given, given, given.values.unsqueeze(2))
    reason = evaluator.unsupported(problem)
    assert reason is not None
    assert not evaluator.supports(problem)
    hint = "Use the evaluator 'auto' or 'tiled'."
    message = f"{type(evaluator).__name__}: found {reason.found}; expected {reason.expected}. {hint}"
    with pytest.raises(ConfigError) as raised:
        evaluator(problem)
    assert str(raised.value) == message
    assert reason.found == "the kernel Product"
    assert reason.expected.startswith("MLPKernel")


def test_auto_gives_the_reasons_of_the_evaluators_that_it_passes_over() -> None:
    evaluators = [create("evaluator", component.id) for component in Registry().components("evaluator")]
    ranked = [item for item in evaluators if item.rank is not None]
    operator = IntegralOperator(4, Product(), evaluator=AutoEvaluator(evaluators=ranked))
    reasons: dict[str, Any] = dict(operator.explain_choice(field()).candidates)
    assert reasons["DenseEvaluator"] == ""
    for name in ("NativeEvaluator", "TritonEvaluator", "SortedEvaluator"):
        assert reasons[name].startswith("found the kernel Product; expected MLPKernel")
    assert "ChebyshevEvaluator" not in reasons
