"""The loss of a learned proposal: what it estimates, and where its minimum lies."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from itnet_core import Field, IntegralOperator, MLPKernel, Nodes, Sampler, auxiliary_losses, pair_matrix
from itnet_samplers.proposal_loss import proposal_loss
from itnet_testing.fields import scattered


class Drawn(Sampler):
    """Points drawn by softmax(logits)."""

    def __init__(self, logits: Tensor, count: int) -> None:
        super().__init__(4)
        self.logits = torch.nn.Parameter(logits)
        self.count = count

    def forward(self, query: Field, key: Field) -> Nodes:
        log_p = self.logits.log_softmax(-1)
        p = log_p.detach().exp()
        indices = torch.multinomial(p, self.count, replacement=True).expand(len(key.values), -1)
        weights = key.weights.gather(1, indices) / (self.count * p[indices])
        return Nodes(indices, weights, lambda problem: proposal_loss(problem, log_p[indices]))


@pytest.mark.parametrize("normalization", ["none", "softmax"])
def test_its_gradient_is_that_of_the_second_moment(normalization: str) -> None:
    """log S(p) of the definition, summed over all points; the draws are so many that the estimate is near."""
    torch.manual_seed(0)
    field = scattered(1, 6, 4).to(torch.float64)
    field = field.replace(weights=torch.rand(1, 6, dtype=torch.float64) + 0.1)
    kernel = MLPKernel(4, heads=2, position_dim=field.positions.shape[-1], normalization=normalization)
    sampler = Drawn(torch.randn(6), 200_000)
    operator = IntegralOperator(4, kernel, sampler).double()
    with auxiliary_losses() as losses:
        operator(field)
    [actual] = torch.autograd.grad(losses[0], [sampler.logits])
    problem = kernel.problem(field, field, operator.value(field.values))
    matrix = pair_matrix(problem).detach()
    values = problem.values.transpose(1, 2).detach()
    means = (matrix @ values).unsqueeze(3)
    f = values.unsqueeze(2) if normalization == "none" else values.unsqueeze(2) - means
    weights = field.weights if normalization == "none" else torch.ones_like(field.weights)
    squares = ((matrix * weights[:, None, None]).unsqueeze(-1) * f).square().sum((1, 4)).mean(1)[0]  # (w s)²
    [expected] = torch.autograd.grad((squares / sampler.logits.softmax(-1)).sum().log(), [sampler.logits])
    torch.testing.assert_close(actual, expected, rtol=0.05, atol=0.01)
    best = squares.sqrt().log().requires_grad_()  # p* ∝ w s: no gradient there
    [gradient] = torch.autograd.grad((squares / best.softmax(-1)).sum().log(), [best])
    assert gradient.abs().max() < 1e-12
