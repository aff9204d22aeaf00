"""The matrix of weights: spectrum, mass received and rollout; and the position part."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from itnet_core import Field, IntegralOperator, Kernel, MLPKernel
from itnet_explain import Call, explain, record
from itnet_explain.profile import profile
from itnet_explain.structure import received, spectrum, weight_matrix


class Outer(Kernel):
    """k = Σ_r a_r(x) b_r(y) of one head, of the rank of its contents."""

    heads = 1
    pointwise_terms = True

    def project(self, query: Field, key: Field) -> tuple[Any, Any]:
        return query.values, key.values

    def tile(self, query_terms: Any, key_terms: Any) -> torch.Tensor:
        return (query_terms @ key_terms.mT).unsqueeze(1)


def orthogonal(points: int, rank: int) -> Field:
    """A field whose contents have `rank` equal singular values."""
    values = torch.linalg.qr(torch.randn(2, points, rank, generator=torch.Generator().manual_seed(0)))[0]
    return Field(values, torch.rand(2, points, 2))


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_the_effective_rank_of_equal_singular_values_is_their_number(rank: int) -> None:
    field = orthogonal(40, rank)
    ranks, energy = spectrum([weight_matrix(Call("operator", Outer(), field, field), 0, 8)])
    assert float(ranks[0]) == pytest.approx(rank, abs=0.01)
    assert energy[0, :rank].tolist() == pytest.approx([(n + 1) / rank for n in range(rank)], abs=1e-4)


def test_mass_is_received_where_the_weights_lie() -> None:
    operator, field = IntegralOperator(4, MLPKernel(4, heads=2, position_dim=2)), orthogonal(12, 4)
    [call] = record(nn.ModuleDict({"a": operator}), lambda: operator(field))
    sizes = operator.matrix(field)[1].abs().sum(1)
    found = received(weight_matrix(call, 1, 8))
    torch.testing.assert_close(found, (sizes / sizes.sum(1, keepdim=True)).detach())


def test_rollout_is_the_product_of_the_normalised_blocks() -> None:
    torch.manual_seed(0)
    operators = [IntegralOperator(4, MLPKernel(4, heads=2, position_dim=2)) for _ in range(2)]
    field, seen = orthogonal(9, 4), []

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.operators = nn.ModuleList(operators)

        def forward(self, field: Field) -> Field:
            for operator in operators:
                seen.append(operator.matrix(field).detach())
                field = operator(field)
            return field

    explanation = explain(Model(), field, queries=9)
    expected = torch.eye(9)
    for matrix in seen:
        mean = matrix[0].abs().mean(0)
        expected = 0.5 * (torch.eye(9) + mean / mean.sum(1, keepdim=True)) @ expected
    [first, _] = explanation.rollout
    torch.testing.assert_close(first.weights[0], expected)
    torch.testing.assert_close(first.weights.sum(-1), torch.ones(1, 9))


def test_rollout_needs_the_same_points_throughout() -> None:
    from itnet_registry import create_model

    model = create_model("itnet-pyramid-nano", encoder={"name": "patch", "patch_size": 1}, task="digits")
    assert explain(model, torch.rand(2, 1, 8, 8)).rollout == ()


@pytest.mark.parametrize(("grid", "axes"), [((9,), 1), ((5, 4), 2), ((3, 2, 4), 1)])
def test_the_position_part_of_a_function_of_displacements_is_that_function(grid: tuple[int, ...], axes: int) -> None:
    torch.manual_seed(0)
    inputs: tuple[Any, ...] = ("displacement",) if len(grid) < 3 else ("distance",)
    kernel = MLPKernel(6, heads=2, position_dim=len(grid), inputs=inputs)
    field = Field.on_grid(torch.randn(3, *grid, 6))
    found = profile(Call("operator", kernel, field, field))
    assert found is not None
    assert found.distance == (len(grid) > 2)
    assert found.displacements.shape == (found.values.shape[1], axes)
    if not found.distance:
        assert len(found.displacements) == torch.tensor([2 * n - 1 for n in grid]).prod()
        x = Field(torch.zeros(1, len(found.displacements), 6), found.displacements.float().unsqueeze(0))
        origin = Field(torch.zeros(1, 1, 6), torch.zeros(1, 1, len(grid)))
        k = kernel(*kernel.project(x, origin))[0, :, :, 0].double()
        torch.testing.assert_close(found.values, k, atol=1e-5, rtol=1e-4)


def test_points_in_one_place_have_no_position_part() -> None:
    field = Field(torch.randn(2, 5, 4), torch.zeros(2, 5, 2))
    assert profile(Call("operator", MLPKernel(4, position_dim=2), field, field)) is None
