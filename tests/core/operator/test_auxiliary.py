"""Auxiliary losses: collected inside the context, computed nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from itnet_core import Field, IntegralOperator, MLPKernel, Nodes, Problem, Sampler, auxiliary_losses
from itnet_core.operator.auxiliary import add_loss, collecting


def test_losses_are_collected_inside_and_nowhere_else() -> None:
    assert not collecting()
    add_loss(torch.tensor(1.0))
    with auxiliary_losses() as outer:
        add_loss(torch.tensor(2.0))
        with auxiliary_losses() as inner:
            add_loss(torch.tensor(3.0))
        add_loss(torch.tensor(4.0))
    assert [float(loss) for loss in outer] == [2, 4]
    assert [float(loss) for loss in inner] == [3]
    with pytest.raises(ZeroDivisionError), auxiliary_losses():
        raise ZeroDivisionError
    assert not collecting()


class WithLoss(Sampler):
    """The first points, shared or for each query, and a loss of the problem at them."""

    def __init__(self, per_query: bool) -> None:
        super().__init__(4)
        self.per_query = per_query
        self.shapes: list[tuple[int, int, int]] = []

    def loss(self, problem: Problem) -> Tensor:
        self.shapes.append(problem.shape)
        return problem.values.square().sum()

    def forward(self, query: Field, key: Field) -> Nodes:
        indices = torch.arange(3).expand(len(key.values), -1)
        if self.per_query:
            indices = indices.unsqueeze(1).expand(-1, query.values.shape[1], -1)
        return Nodes(indices, torch.ones(indices.shape), self.loss)


@pytest.mark.parametrize(("per_query", "shape"), [(False, (2, 6, 3)), (True, (12, 1, 3))])
def test_the_loss_of_nodes_is_computed_where_losses_are_collected(per_query: bool, shape: tuple[int, ...]) -> None:
    """As a function of the problem at the nodes, where nodes of each query make each a sample of its own."""
    sampler = WithLoss(per_query)
    operator = IntegralOperator(4, MLPKernel(4, heads=2, position_dim=2), sampler)
    field = Field(torch.randn(2, 6, 4), torch.randn(2, 6, 2))
    expected = operator(field).values
    assert sampler.shapes == []
    with auxiliary_losses() as losses:
        torch.testing.assert_close(operator(field).values, expected)
        operator.explain_choice(field)
    assert len(losses) == 1
    assert sampler.shapes == [shape]
    values = operator.value(field.values[:, :3]).square().sum()
    torch.testing.assert_close(losses[0], 6 * values if per_query else values)
