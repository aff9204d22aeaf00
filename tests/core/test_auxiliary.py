"""Auxiliary losses, and the one of a learned proposal: what it estimates, and where its minimum lies."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from itnet_core import Field, IntegralOperator, MLPKernel, Nodes, Points, Sampler, auxiliary_losses
from itnet_core.operator.auxiliary import add_loss, collecting
from itnet_core.operator.evaluators.dense import pair_matrix


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


class Drawn(Sampler):
    """Points drawn by softmax(logits), or every point with the weight that it would have in one draw."""

    count = 0

    def __init__(self, logits: Tensor) -> None:
        super().__init__(4)
        self.logits = torch.nn.Parameter(logits)

    def forward(self, query: Field, key: Field) -> Nodes:
        """Return the nodes."""
        log_p = self.logits.log_softmax(-1)
        p = log_p.detach().exp()
        indices = torch.multinomial(p, self.count, replacement=True).expand(len(key.values), -1)
        weights = key.weights.gather(1, indices) / (self.count * p[indices])
        return Nodes(indices, weights, log_p[indices])


@pytest.mark.parametrize("normalization", ["none", "softmax"])
def test_its_gradient_is_that_of_the_second_moment(make_field, normalization) -> None:  # type: ignore[no-untyped-def]
    """log S(p) of the definition, summed over all points; the draws are so many that the estimate is near."""
    torch.manual_seed(0)
    field = make_field(1, 6, 4, padding=0)
    kernel = MLPKernel(4, heads=2, position_dim=field.positions.shape[-1], normalization=normalization).double()
    sampler = Drawn(torch.randn(6, dtype=torch.float64))
    sampler.count = 200_000
    operator = IntegralOperator(4, kernel, sampler).double()
    with auxiliary_losses() as losses:
        operator(field)
    [found] = torch.autograd.grad(losses[0], [sampler.logits])
    points = [Points(t, field.positions, field.weights) for t in kernel.project(field, field)]
    matrix = pair_matrix(kernel, *points).detach()
    values = operator.value(field.values).transpose(1, 2).detach()
    means = (matrix @ values).unsqueeze(3)
    f = values.unsqueeze(2) if normalization == "none" else values.unsqueeze(2) - means
    weights = field.weights if normalization == "none" else torch.ones_like(field.weights)
    squares = ((matrix * weights[:, None, None]).unsqueeze(-1) * f).square().sum((1, 4)).mean(1)[0]  # (w s)²
    [expected] = torch.autograd.grad((squares / sampler.logits.softmax(-1)).sum().log(), [sampler.logits])
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.01)
    best = squares.sqrt().log().requires_grad_()  # p* ∝ w s: no gradient there
    [gradient] = torch.autograd.grad((squares / best.softmax(-1)).sum().log(), [best])
    assert gradient.abs().max() < 1e-12
