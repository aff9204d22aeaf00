"""Checks of samplers."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from itnet_core import DenseEvaluator, Field, IntegralOperator, Kind, MLPKernel, Nodes, Sampler, auxiliary_losses
from itnet_testing.conformance.base import skip_unless
from itnet_testing.conformance.modules import ModuleConformance
from itnet_testing.conformance.tensors import assert_same
from itnet_testing.fields import sample, scattered

DRAWS = 400
"""Number of draws over which means are taken."""
DEVIATIONS = 4.5
"""Standard errors by which a mean may differ from its expectation."""


class SamplerConformance(ModuleConformance):
    """Test class for a sampler; override `field` if it needs other points.

    Example:
        >>> class TestNeighbours(SamplerConformance):
        ...     component = "itnet-samplers/neighbours"
        >>> valid, unbiased = TestNeighbours().run("node_validity", "unbiased_sum")
        >>> valid.status, unbiased.status, unbiased.detail
        ('passed', 'skipped', 'the sampler is not unbiased')
    """

    kind: ClassVar[Kind] = "sampler"

    def field(self) -> Field:
        """Return a field of at least two samples for the sampler, of `dim` channels."""
        return scattered(points=40, dim=self.dim)

    def module(self, **options: Any) -> nn.Module:
        """Return an operator with the sampler and the paper's kernel."""
        kernel = MLPKernel(self.dim, heads=2, hidden=4, rank=4, activation="tanh")
        sampler = self.cls(self.dim, **{**self.settings, **options})
        return IntegralOperator(self.dim, kernel, sampler, DenseEvaluator())

    def inputs(self) -> Field:
        """Return `field()`."""
        return self.field()

    def check_node_validity(self) -> None:
        """The result is a field, or nodes with indices of key points; weights are finite and nonnegative."""
        nodes, field = self.draw(0), self.field()
        assert isinstance(nodes, Field | Nodes), f"found {type(nodes).__name__}; expected a Field or Nodes"
        if isinstance(nodes, Nodes):
            batch, points, _ = field.values.shape
            shape, other = tuple(nodes.indices.shape), tuple(nodes.weights.shape)
            assert shape == other, f"indices {shape} and weights {other}; expected one shape"
            assert shape[:-1] in ((batch,), (batch, points)), f"indices {shape}; expected (B, M) or (B, N, M)"
            low, high = int(nodes.indices.min()), int(nodes.indices.max())
            assert 0 <= low <= high < points, f"indices from {low} to {high} for {points} points"
        assert (nodes.weights.isfinite() & (nodes.weights >= 0)).all(), "a weight is negative or not finite"

    def check_seeded_sampling(self) -> None:
        """The same seed gives the same nodes."""
        one, other = tensors_of(self.draw(3)), tensors_of(self.draw(3))
        assert_same(one, other, "two draws from one seed", exact=True)

    def check_deterministic_evaluation(self) -> None:
        """In evaluation mode the nodes of a sample do not depend on the seed or on the rest of the batch."""
        field, nodes = self.field().to(torch.float64), self.draw(0, training=False)
        other = self.draw(1, training=False)
        assert_same(tensors_of(other), tensors_of(nodes), "nodes in evaluation after different draws", exact=True)
        for number in range(len(field.values)):
            alone = self.weights_by_point(self.draw(0, sample(field, number), training=False))
            batched = tree_map(lambda tensor, number=number: tensor[number : number + 1], self.weights_by_point(nodes))
            assert_same(alone, batched, f"nodes of sample {number} alone and in a batch", tolerance=1e-9)

    @skip_unless(lambda case: not case.sampler.truncates, "the sampler truncates the integral")
    def check_mass_conservation(self) -> None:
        """The mean mass of the nodes over many draws equals the mass of the field, within its standard error."""
        self.assert_mean(self.integrals[0], self.field().weights.sum(-1, keepdim=True), "the mass")

    @skip_unless(lambda case: case.sampler.truncates, "the sampler does not truncate the integral")
    def check_truncated_weights(self) -> None:
        """Nodes of weight > 0 are distinct key points with their own weights."""
        nodes, field = self.draw(0), self.field().to(torch.float64)
        assert isinstance(nodes, Nodes), f"found {type(nodes).__name__}; expected Nodes"
        own = gather(field.weights, nodes)
        assert_same(
            nodes.weights, own.where(nodes.weights > 0, 0.0), "weights of the nodes and of their points", exact=True
        )
        count = torch.zeros(*nodes.indices.shape[:-1], field.weights.shape[1])
        count = count.scatter_add(-1, nodes.indices, (nodes.weights > 0).to(count.dtype))
        assert count.max() <= 1, f"a point is {int(count.max())} nodes at once"

    @skip_unless(lambda case: case.sampler.unbiased, "the sampler is not unbiased")
    def check_unbiased_sum(self) -> None:
        """The mean sum over the nodes equals the sum over the field, within its standard error."""
        field = self.field().to(torch.float64)
        self.assert_mean(
            self.integrals[1], (field.weights * field.values[..., -1]).sum(-1, keepdim=True), "the integral"
        )

    @skip_unless(lambda case: case.sampler.unbiased, "the sampler is not unbiased")
    def check_unbiased_gradient(self) -> None:
        """The mean gradient of the sum over the nodes equals the gradient of the sum over the field."""
        field = self.field().to(torch.float64)
        expected = torch.stack([field.weights, field.values[..., -1]])
        draws = []
        for seed in range(DRAWS):
            tensors = [field.values.clone().requires_grad_(), field.weights.clone().requires_grad_()]
            torch.manual_seed(seed)
            nodes = self.sampler.train()(field, Field(tensors[0], field.positions, tensors[1]))
            to_values, to_weights = torch.autograd.grad(integrate(nodes, tensors[0]).mean(-1).sum(), tensors)
            draws.append(torch.stack([to_values[..., -1], to_weights]))
        self.assert_mean(torch.stack(draws), expected, "the gradient to values and weights")

    @skip_unless(lambda case: not case.sampler.unbiased, "gradients at random nodes are right only in the mean")
    def check_gradients(self) -> None:
        """In float64, gradients equal finite differences, for samplers that draw nothing at random."""
        super().check_gradients()

    @skip_unless(lambda case: case.sampler.learned, "the sampler is not learned")
    def check_proposal_gradient(self) -> None:
        """The result or an auxiliary loss depends on every parameter of the sampler."""
        operator: Any = self.build().double()
        torch.manual_seed(0)
        with auxiliary_losses() as losses:
            result = operator(self.field().to(torch.float64))
        loss: Any = torch.stack([result.values.square().sum(), *losses]).sum()
        loss.backward()
        for name, parameter in operator.sampler.named_parameters():
            reached = parameter.grad is not None and bool((parameter.grad != 0).any())
            assert reached, f"no gradient reaches {name}"
        assert list(operator.sampler.parameters()), f"{self.cls.__name__}.learned is True, but it has no parameters"

    @cached_property
    def sampler(self) -> Sampler:
        """The sampler under check, in float64."""
        operator: Any = self.build().double()
        sampler: Sampler = operator.sampler
        return sampler

    def draw(self, seed: int, field: Field | None = None, *, training: bool = True) -> Field | Nodes:
        """Return the sampler's result for a field, by default `field()`, drawn from a seed."""
        field = self.field().to(torch.float64) if field is None else field
        sampler = self.sampler.train(training)  # building it draws from the generator
        torch.manual_seed(seed)
        with torch.no_grad():
            return sampler(field, field)

    def weights_by_point(self, nodes: Field | Nodes) -> list[Tensor]:
        """Return the tensors of a result; nodes as the weight of each point, whatever their order and padding."""
        if isinstance(nodes, Field):
            return tensors_of(nodes)
        total = nodes.weights.new_zeros(*nodes.indices.shape[:-1], self.field().values.shape[1])
        return [total.scatter_add(-1, nodes.indices, nodes.weights)]

    @cached_property
    def integrals(self) -> tuple[Tensor, Tensor]:
        """Σ w g for g = 1 and for the last channel of the values, in many draws: (draws, B, 1) or (draws, B, N)."""
        values = self.field().to(torch.float64).values
        draws = [self.draw(seed) for seed in range(DRAWS)]
        masses = torch.stack([nodes.weights.sum(-1).view(len(values), -1) for nodes in draws])
        return masses, torch.stack([integrate(nodes, values) for nodes in draws])

    def assert_mean(self, draws: Tensor, expected: Tensor, what: str) -> None:
        """Compare the mean over draws with its expectation."""
        expected = expected.to(draws).expand(draws.shape[1:])
        error = DEVIATIONS * draws.std(0) / DRAWS**0.5 + 1e-6
        off = (draws.mean(0) - expected).abs() / error
        worst = int(off.argmax())
        assert off.max() <= 1, (
            f"{what} is {draws.mean(0).flatten()[worst]:.6g} in the mean of {DRAWS} draws; expected "
            f"{expected.flatten()[worst]:.6g} ± {error.flatten()[worst]:.2g}"
        )


def tensors_of(nodes: Field | Nodes) -> list[Tensor]:
    """Return the tensors of a sampler's result."""
    return [nodes.weights, nodes.values if isinstance(nodes, Field) else nodes.indices]


def gather(numbers: Tensor, nodes: Nodes) -> Tensor:
    """Gather per-point numbers (B, N) at the nodes."""
    batch = torch.arange(len(numbers)).view(-1, *[1] * (nodes.indices.ndim - 1))
    return numbers[batch, nodes.indices]


def integrate(nodes: Field | Nodes, values: Tensor) -> Tensor:
    """Return Σ w g for the last channel g of the field's values: (B, 1), or (B, N) for nodes of each query."""
    g = nodes.values[..., -1] if isinstance(nodes, Field) else gather(values[..., -1], nodes)
    total = (nodes.weights * g).sum(-1)
    return total if total.ndim > 1 else total.unsqueeze(-1)
