"""`IntegralOperator.matrix`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import AutoEvaluator, DenseEvaluator, Field, IntegralOperator, MLPKernel, ShapeError, TiledEvaluator

SUPPORTS: tuple[dict[str, Any], ...] = ({}, {"causal": 0}, {"radius": 0.6}, {"causal": 0, "window": 0.5})


def field(seed: int, points: int = 7, padding: int = 2) -> Field:
    generator = torch.Generator().manual_seed(seed)
    values, positions = (torch.randn(2, points, n, generator=generator, dtype=torch.float64) for n in (6, 2))
    weights = torch.rand(2, points, generator=generator, dtype=torch.float64) + 0.1
    weights[1, points - padding :] = 0
    values[1, points - padding :] = torch.nan
    return Field(values, positions, weights)


def kernel_at(kernel: MLPKernel, query: Field, key: Field, b: int, i: int, j: int) -> Tensor:
    """k of one pair of points that are alone in their fields, (heads,)."""
    x, y = (
        Field(side.values[b : b + 1, n : n + 1], side.positions[b : b + 1, n : n + 1])
        for side, n in ((query, i), (key, j))
    )
    return kernel.tile(*kernel.project(x, y))[0, :, 0, 0]


def inside(support: dict[str, Any], x: Tensor, y: Tensor) -> bool:
    d = (x - y).tolist()
    past = support.get("causal") is None or d[0] >= 0
    near = (d[0] ** 2 + d[1] ** 2) ** 0.5 <= support.get("radius", 9.0)
    return past and near and max(map(abs, d)) <= support.get("window", 9.0)


@pytest.mark.parametrize("support", SUPPORTS, ids=str)
@pytest.mark.parametrize("normalization", ["none", "softmax"])
@pytest.mark.parametrize("evaluator", [DenseEvaluator, TiledEvaluator, AutoEvaluator])
def test_every_entry_is_that_of_its_pair(support: dict[str, Any], normalization: Any, evaluator: Any) -> None:
    torch.manual_seed(0)
    kernel = MLPKernel(6, heads=2, position_dim=2, normalization=normalization, support=support).double()
    operator = IntegralOperator(6, kernel, evaluator=evaluator()).double()
    query, key, rows = field(0, 5, 1), field(1), torch.tensor([3, 0])
    matrix, values = (operator.matrix(query, key, queries=rows, normalized=kind) for kind in (True, False))
    assert matrix.shape == values.shape == (2, 2, 2, 7)
    clean_query, clean_key = query.without_padding(), key.without_padding()
    for b in range(2):
        for n, i in enumerate(rows.tolist()):
            near = [j for j in range(7) if inside(support, query.positions[b, i], key.positions[b, j])]
            k = {j: kernel_at(kernel, clean_query, clean_key, b, i, j) for j in near}
            weighted = {j: key.weights[b, j] * (k[j].exp() if normalization == "softmax" else k[j]) for j in near}
            total = sum(weighted.values()) if normalization == "softmax" else 1.0
            for j in range(7):
                expected = weighted[j] / total if j in near and key.weights[b, j] > 0 else torch.zeros(2).double()
                torch.testing.assert_close(matrix[b, :, n, j], expected)
                if j in near and key.weights[b, j] > 0:
                    torch.testing.assert_close(values[b, :, n, j], k[j])
                elif j not in near:
                    outside = -torch.inf if normalization == "softmax" else 0.0
                    assert values[b, :, n, j].tolist() == [outside] * 2


def test_query_points_may_differ_between_samples() -> None:
    operator, side = IntegralOperator(6, MLPKernel(6, heads=2, position_dim=2)).double(), field(0)
    rows = torch.tensor([[1, 4, 2], [0, 0, 3]])
    matrix, whole = operator.matrix(side, queries=rows), operator.matrix(side)
    torch.testing.assert_close(matrix, torch.stack([whole[b][:, rows[b]] for b in range(2)]))


def test_memory_grows_with_the_chosen_query_points_alone() -> None:
    """k of a few rows never forms a tensor of all pairs."""
    sizes: list[int] = []

    class Kernel(MLPKernel):
        def tile(self, query_terms: Any, key_terms: Any) -> Tensor:
            k = super().tile(query_terms, key_terms)
            sizes.append(k.numel())
            return k

    large = Field(torch.randn(1, 300, 6), torch.rand(1, 300, 2))
    IntegralOperator(6, Kernel(6, heads=2, position_dim=2)).matrix(large, queries=torch.tensor([5, 6, 7]))
    assert sizes == [2 * 3 * 300]


def test_other_channels_are_refused() -> None:
    with pytest.raises(ShapeError, match="channels"):
        IntegralOperator(8, MLPKernel(8, position_dim=2)).matrix(field(0))
