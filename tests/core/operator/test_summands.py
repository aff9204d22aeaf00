"""A kernel of several summands: the operator adds their integrals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from itnet_core import (
    AutoEvaluator,
    Block,
    ConfigError,
    DenseEvaluator,
    Field,
    IntegralOperator,
    Kernel,
    Measure,
    MLPKernel,
    Nodes,
    Sampler,
    Support,
    Trunk,
)

MakeField = Callable[..., Field]


class Both(Kernel[Any, Any]):
    """The sum of the integrals of some kernels."""

    def __init__(self, *kernels: Kernel) -> None:
        super().__init__()
        self.kernels = nn.ModuleList(kernels)

    @property
    def summands(self) -> tuple[Kernel, ...]:
        return tuple(self.kernels)  # type: ignore[arg-type]

    def project(self, query: Field, key: Field) -> tuple[Any, Any]:
        raise AssertionError("evaluators get problems of the parts")

    def tile(self, query_terms: Any, key_terms: Any) -> Tensor:
        raise AssertionError("evaluators get problems of the parts")


class Counting(MLPKernel):
    """A sum over points; each of its heads has other channels than a plain kernel's."""

    measure: Measure = "counting"

    def value_dim(self, dim: int) -> int:
        return 3


class Halved(Kernel[Tensor, Tensor]):
    """A causal kernel with fast paths: half of the sum of the past."""

    heads = 2
    support = Support(causal=0)

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        return query.positions, key.positions

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        return query_terms.new_full((len(query_terms), 2, query_terms.shape[1], key_terms.shape[1]), 0.5)

    def can_transform(self, query: Field, key: Field) -> bool:
        return query is key and bool((key.positions[:, 1:, 0] > key.positions[:, :-1, 0]).all())

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> Tensor:
        out: Tensor = output_map(0.5 * (value_map(key.values) * key.weights[..., None, None]).cumsum(1))
        return out

    def step(self, state: Tensor | None, query: Field, values: Tensor) -> tuple[Tensor, Tensor]:
        new = values * query.weights[..., None, None] + (0.0 if state is None else state)
        return new, 0.5 * new


def kernels() -> list[Kernel]:
    torch.manual_seed(0)
    options: dict[str, Any] = {"position_dim": 2, "heads": 2, "hidden": 5, "rank": 3}
    softmax = MLPKernel(8, normalization="softmax", support=Support(radius=0.7), **options)
    return [softmax, Counting(8, **options | {"heads": 3}), Halved()]


def in_order(field: Field) -> Field:
    order = field.positions[0, :, 0].argsort()
    return Field(field.values[:1, order], field.positions[:1, order], field.weights[:1, order])


def alone(operator: IntegralOperator) -> list[IntegralOperator]:
    """Return an operator for each summand, with its kernel and maps, and the last one with W_o."""
    operators = []
    for kernel, value, output in operator.summands:
        item = IntegralOperator(8, kernel, operator.sampler, operator.evaluator, pointwise=False).eval()
        item.value, item.output = value, output
        operators.append(item)
    operators[-1].pointwise = operator.pointwise
    return operators


class First(Sampler):
    """The first points, for the whole mass."""

    def forward(self, query: Field, key: Field) -> Field | Nodes:
        indices = torch.arange(4).expand(len(key.values), -1)
        return Nodes(indices, 2 * key.weights[:, :4])


@pytest.mark.parametrize("evaluator", [AutoEvaluator(evaluators=[]), DenseEvaluator()])
@pytest.mark.parametrize("sampler", [None, First(8)])
def test_the_operator_adds_the_integrals(make_field: MakeField, evaluator: Any, sampler: Sampler | None) -> None:
    operator = IntegralOperator(8, Both(*kernels()), sampler, evaluator).eval()
    for query, key in ((in_order(make_field()), None), (in_order(make_field()), in_order(make_field(points=6)))):
        expected = sum(item(query, key).values for item in alone(operator))
        torch.testing.assert_close(operator(query, key).values, expected, rtol=1e-12, atol=1e-12)


def test_a_choice_for_each_summand(make_field: MakeField) -> None:
    operator = IntegralOperator(8, Both(*kernels()), evaluator=AutoEvaluator(evaluators=[]))
    choice = operator.explain_choice(in_order(make_field()))
    assert [name for name, _ in choice.summands] == ["MLPKernel", "Counting", "Halved"]
    assert choice.chosen == "DenseEvaluator + DenseEvaluator + kernel.transform"
    assert str(choice).splitlines()[-2:] == ["Halved", "  kernel.transform  chosen"]


def test_steps(make_field: MakeField) -> None:
    operator = IntegralOperator(8, Both(Halved(), Halved()))
    field = in_order(make_field(padding=0.0))
    state, outs = None, []
    for point in range(field.values.shape[1]):
        one = field.replace(
            **{name: getattr(field, name)[:, point : point + 1] for name in ("values", "positions", "weights")}
        )
        state, out = operator.step(state, one)
        outs.append(out.values)
    torch.testing.assert_close(torch.cat(outs, 1), operator(field).values)
    with pytest.raises(ConfigError, match=r"Support\(.*\), which is not causal"):
        IntegralOperator(8, Both(Halved(), kernels()[0])).step(None, one)


def test_summands_that_scan_determine_the_axis() -> None:
    class Scanning(Halved):
        scans = True
        support = Support(causal="t")

    trunk = Trunk([Block(IntegralOperator(8, Both(Scanning(), MLPKernel(8))))], scan="raster")
    assert trunk.scan is not None
    assert trunk.scan.axis == 0
