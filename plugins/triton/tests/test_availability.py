"""What is said where Triton or a GPU is missing, and that nothing breaks there."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from itnet_core import API, AutoEvaluator, ConfigError, Field, IntegralOperator, MLPKernel, Problem, Support
from itnet_triton import availability
from itnet_triton.evaluator import TritonEvaluator
from itnet_triton.plugin import itnet_doctor


def case(**options: Any) -> Problem:
    kernel = MLPKernel(8, position_dim=2, **options)
    field = Field(torch.randn(2, 40, 8), torch.rand(2, 40, 2))
    return kernel.problem(field, field, torch.randn(2, 40, 4, 2))


def test_tensors_on_a_cpu_are_refused_with_the_reason() -> None:
    evaluator = TritonEvaluator()
    assert not evaluator.supports(case())
    with pytest.raises(ConfigError, match=r"TritonEvaluator: found tensors on cpu; expected an NVIDIA GPU"):
        evaluator(case())


@pytest.mark.parametrize(
    ("options", "found"),
    [({"support": Support(radius=0.5, edge=0.1)}, "an edge"), ({"rank": 200}, "features of points")],
)
def test_an_unsupported_problem_is_refused_with_the_reason(options: dict[str, Any], found: str) -> None:
    evaluator = TritonEvaluator(interpret=True)
    assert evaluator.supports(case())
    assert not evaluator.supports(case(**options))
    with pytest.raises(ConfigError, match=found):
        evaluator(case(**options))


def test_mixed_double_precision_is_refused() -> None:
    problem = case()
    problem = replace(problem, values=problem.values.double())
    assert "float64" in str(TritonEvaluator(interpret=True).unsupported(problem))


def test_it_is_not_efficient_for_nodes_of_each_query() -> None:
    problem, evaluator = case(), TritonEvaluator(interpret=True)
    assert evaluator.is_efficient(problem)
    assert not evaluator.is_efficient(problem.narrow(queries=slice(1)))


def test_auto_takes_another_on_a_cpu() -> None:
    auto = AutoEvaluator(evaluators=[TritonEvaluator()])
    assert TritonEvaluator in map(type, auto.evaluators)
    assert not isinstance(auto.choose(case()), TritonEvaluator)
    assert dict(auto.explain(case()).candidates)["TritonEvaluator"] == "found tensors on cpu; expected an NVIDIA GPU"
    kernel = MLPKernel(8, position_dim=2)
    assert IntegralOperator(8, kernel, evaluator=auto)(Field(torch.randn(1, 40, 8), torch.rand(1, 40, 2)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_doctor_says_that_there_is_no_gpu() -> None:
    [check] = itnet_doctor(API)
    assert check.ok
    assert "no NVIDIA GPU" in check.detail


def test_doctor_says_that_triton_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "missing_gpu", lambda: None)
    monkeypatch.setattr(availability, "find_spec", lambda name: None)
    [check] = itnet_doctor(API)
    assert not check.ok
    assert "pip install triton" in check.detail


def test_without_triton_it_supports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "find_spec", lambda name: None)
    evaluator = TritonEvaluator(interpret=True)
    assert not evaluator.supports(case())
    with pytest.raises(ConfigError, match="triton is not installed"):
        evaluator(case())


def test_the_evaluator_is_built_without_importing_its_kernels() -> None:
    code = "import sys, itnet_triton.evaluator as e; e.TritonEvaluator; print('itnet_triton.kernels' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
