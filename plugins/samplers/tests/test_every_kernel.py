"""Every sampler works with every registered kernel and every evaluator, fast paths included."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import torch

from itnet_core import (
    AutoEvaluator,
    DenseEvaluator,
    Field,
    IntegralOperator,
    ITNetError,
    Nodes,
    Sampler,
    TiledEvaluator,
)
from itnet_registry import Registry, create
from itnet_testing.fields import on_a_line, on_an_image, scattered, with_edges

KERNELS = [component.id for component in Registry().components() if component.kind == "kernel"]
SAMPLERS: dict[str, dict[str, Any]] = {
    "shared": {"name": "monte-carlo", "points": 5},
    "learned": {"name": "monte-carlo", "points": 5, "proposal": "learned"},
    "per query": {"name": "monte-carlo", "points": 5, "per_query": True},
    "neighbours": {"name": "neighbours", "count": 4},
    "radius": {"name": "neighbours", "radius": 1.0},
    "landmarks": {"name": "landmarks", "count": 5},
}

QUICK = ("shared", "per query", "neighbours")
"""The samplers of different nodes; the others give nodes of these forms, too."""


class Everything(Sampler):
    """Every point, as nodes in another order, shared or for each query."""

    shared = True

    def forward(self, query: Field, key: Field) -> Nodes:
        """Return the nodes."""
        batch, points = key.weights.shape
        order = torch.randperm(points, generator=torch.Generator().manual_seed(0)).expand(batch, -1)
        if not self.shared:
            order = order.unsqueeze(1).expand(-1, query.values.shape[1], -1)
        index = torch.arange(batch).view(-1, *[1] * (order.ndim - 1))
        return Nodes(order, key.weights[index, order])


def operators(kernel: str, sampler: Sampler | None) -> Iterator[IntegralOperator]:
    """Yield operators with the same weights that sum all pairs at once, by tiles, and by fast paths."""
    cls = Registry().component("kernel", kernel).load()
    for evaluator in (DenseEvaluator(), TiledEvaluator(query_tile=3, key_tile=2), AutoEvaluator()):
        torch.manual_seed(0)
        yield IntegralOperator(8, cls(8, **cls.example_options), sampler, evaluator).double().eval()


def fields(kernel: str) -> Iterator[Field]:
    """Yield fields that the kernel does not refuse: scattered points, a line, an image."""
    actual = []
    for field in map(with_edges, (scattered(2, 9).to(torch.float64), on_a_line(0), on_an_image(0))):
        try:
            next(operators(kernel, None))(field)
        except ITNetError:
            continue
        actual.append(field)
    assert actual
    yield from actual


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "title", [pytest.param(title, marks=() if title in QUICK else pytest.mark.slow) for title in SAMPLERS]
)
def test_evaluators_and_fast_paths_agree_over_the_nodes(kernel: str, title: str) -> None:
    if title == "landmarks" and kernel.startswith("itnet-graph/"):
        pytest.skip("merged points have no edges")
    torch.manual_seed(1)
    sampler = create("sampler", dim=8, **SAMPLERS[title])
    for field in fields(kernel):
        results = []
        for operator in operators(kernel, sampler.double()):
            values = field.values.clone().requires_grad_()
            result = operator(field.with_values(values)).values
            [gradient] = torch.autograd.grad(result.square().sum(), values)
            results.append((result.detach(), gradient))
        for actual in results[1:]:
            torch.testing.assert_close(actual, results[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kernel", "shared"), [*product(KERNELS, [True, False])])
def test_all_points_as_nodes_are_the_field(kernel: str, shared: bool) -> None:
    sampler = Everything(8)
    sampler.shared = shared
    for field in fields(kernel):
        expected = next(operators(kernel, None))(field).values
        for operator in operators(kernel, sampler):
            torch.testing.assert_close(operator(field).values, expected, rtol=1e-9, atol=1e-9)
