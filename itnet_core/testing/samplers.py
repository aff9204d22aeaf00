"""What the kit checks of samplers."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from itnet_core.component import Kind
from itnet_core.evaluate import DenseEvaluator
from itnet_core.field import Field
from itnet_core.kernels.mlp import MLPKernel
from itnet_core.operator import IntegralOperator
from itnet_core.sampler import Nodes, Sampler
from itnet_core.testing.conformance import ModuleConformance, due_when, same
from itnet_core.testing.fields import scattered

DRAWS, DEVIATIONS = 400, 4.5


class SamplerConformance(ModuleConformance):
    """Checks of a sampler; override `field` where it needs other points."""

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

    def check_nodes_are_sound(self) -> None:
        """It gives a field, or nodes with indices into the key's points; weights are finite and not negative."""
        found, field = self.draw(0), self.field()
        assert isinstance(found, Field | Nodes), f"found {type(found).__name__}; expected a Field or Nodes"
        if isinstance(found, Nodes):
            batch, points, _ = field.values.shape
            shape, other = tuple(found.indices.shape), tuple(found.weights.shape)
            assert shape == other, f"indices {shape} and weights {other}; expected one shape"
            assert shape[:-1] in ((batch,), (batch, points)), f"indices {shape}; expected (B, M) or (B, N, M)"
            low, high = int(found.indices.min()), int(found.indices.max())
            assert 0 <= low <= high < points, f"indices from {low} to {high} for {points} points"
        assert (found.weights.isfinite() & (found.weights >= 0)).all(), "a weight is negative or not finite"

    def check_seeded(self) -> None:
        """From one seed it draws the same nodes."""
        one, other = (
            [found.weights, found.values if isinstance(found, Field) else found.indices]
            for found in (self.draw(3), self.draw(3))
        )
        same(one, other, "two draws from one seed", exact=True)

    def check_mass_is_kept(self) -> None:
        """The nodes' weights sum to the field's mass, in the mean over many draws within its error."""
        self.within(self.integrals[0], self.field().weights.sum(-1), "the mass")

    @due_when(lambda case: case.cls.unbiased)
    def check_unbiased(self) -> None:
        """The mean over many draws of a sum over the nodes is the sum over the field, within its standard error."""
        field = self.field().to(torch.float64)
        self.within(self.integrals[1], (field.weights * field.values[..., -1]).sum(-1), "the integral")

    @due_when(lambda case: case.cls.learned)
    def check_gradient_reaches_the_proposal(self) -> None:
        """The result depends on every parameter of the sampler."""
        operator: Any = self.build().double()
        torch.manual_seed(0)
        operator(self.field().to(torch.float64)).values.square().sum().backward()
        for name, parameter in operator.sampler.named_parameters():
            reached = parameter.grad is not None and bool((parameter.grad != 0).any())
            assert reached, f"no gradient reaches {name}"
        assert list(operator.sampler.parameters()), f"{self.cls.__name__}.learned is True, but it has no parameters"

    @cached_property
    def sampler(self) -> Sampler:
        """The sampler under check, in float64."""
        operator: Any = self.build().double()
        found: Sampler = operator.sampler
        return found

    def draw(self, seed: int) -> Field | Nodes:
        """Return what the sampler chooses from the field, drawn from a seed."""
        field = self.field().to(torch.float64)
        torch.manual_seed(seed)
        with torch.no_grad():
            return self.sampler(field, field)

    @cached_property
    def integrals(self) -> tuple[Tensor, Tensor]:
        """Σ w g for g = 1 and for the last channel of the values, in many draws: (draws, B) or (draws, B, N)."""
        values = self.field().to(torch.float64).values[..., -1]
        batch = torch.arange(len(values))
        masses, sums = [], []
        for seed in range(DRAWS):
            found = self.draw(seed)
            if isinstance(found, Field):
                g = found.values[..., -1]
            else:
                g = values[batch.view(-1, *[1] * (found.indices.ndim - 1)), found.indices]
            masses.append(found.weights.sum(-1))
            sums.append((found.weights * g).sum(-1))
        return torch.stack(masses), torch.stack(sums)

    def within(self, draws: Tensor, expected: Tensor, what: str) -> None:
        """Compare a mean over draws with what it should be."""
        expected = expected.to(draws).view(-1, *[1] * (draws.ndim - 2)).expand(draws.shape[1:])
        error = DEVIATIONS * draws.std(0) / DRAWS**0.5 + 1e-6
        off = (draws.mean(0) - expected).abs() / error
        worst = int(off.argmax())
        assert off.max() <= 1, (
            f"{what} is {draws.mean(0).flatten()[worst]:.6g} in the mean of {DRAWS} draws; expected "
            f"{expected.flatten()[worst]:.6g} ± {error.flatten()[worst]:.2g}"
        )
