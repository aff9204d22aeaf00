"""Samplers with one fault each."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import nn

from itnet_core import ComponentConfig, Field, Nodes, Sampler


class Uniform(Sampler):
    """Points drawn with equal probability, with replacement: right, but for what the classes below change."""

    count, seeded, total = 8, True, 1.0

    def forward(self, query: Field, key: Field) -> Field | Nodes:
        generator = None if self.seeded else torch.Generator().manual_seed(random.SystemRandom().getrandbits(40))
        batch, points = key.weights.shape
        indices = torch.randint(points, (batch, self.count), generator=generator)
        weights = key.weights.gather(1, indices) * points / self.count
        return Nodes(indices, weights * self.total)


class NodeValidity(Uniform):
    def forward(self, query: Field, key: Field) -> Field | Nodes:
        nodes = super().forward(query, key)
        return Nodes(nodes.indices, -nodes.weights)  # type: ignore[union-attr]


class NodeValidityNoNodes(Uniform):
    def forward(self, query: Field, key: Field) -> Field | Nodes:
        return key.values  # type: ignore[return-value]


class NodeValidityOtherShape(Uniform):
    def forward(self, query: Field, key: Field) -> Field | Nodes:
        nodes = super().forward(query, key)
        return Nodes(nodes.indices, nodes.weights[:, :1])  # type: ignore[union-attr]


class NodeValidityTooFar(Uniform):
    def forward(self, query: Field, key: Field) -> Field | Nodes:
        nodes = super().forward(query, key)
        return Nodes(nodes.indices + key.weights.shape[1], nodes.weights)  # type: ignore[union-attr]


class SeededSampling(Uniform):
    seeded = False


class DeterministicEvaluation(Uniform):
    """It draws other points in each evaluation."""


class DeterministicEvaluationForTheBatch(Uniform):
    def forward(self, query: Field, key: Field) -> Field | Nodes:
        """Return a choice that is fixed, but numbers for each sample of the batch together."""
        torch.manual_seed(len(key.values))
        return super().forward(query, key)


class MassConservation(Uniform):
    total = 0.5


class UnbiasedSum(Uniform):
    def forward(self, query: Field, key: Field) -> Field | Nodes:
        """Return the points of the largest values alone, with the whole mass."""
        indices = key.values[..., -1].topk(self.count, dim=1).indices
        weights = key.weights.sum(1, keepdim=True).expand(-1, self.count) / self.count
        return Nodes(indices, weights)


class TruncatedWeights(Uniform):
    """Some points are drawn twice, all with a weight that stands for those that are not."""

    unbiased = False
    truncates = True


class TruncatedWeightsNoNodes(Uniform):
    unbiased = False
    truncates = True

    def forward(self, query: Field, key: Field) -> Field | Nodes:
        return key


class TruncatedWeightsTwice(Uniform):
    """Points have their own weights, but one is there twice."""

    unbiased = False
    truncates = True

    def forward(self, query: Field, key: Field) -> Field | Nodes:
        return Nodes(torch.zeros_like(key.weights[:, :2], dtype=torch.long), key.weights[:, :1].expand(-1, 2))


class UnbiasedGradient(Uniform):
    def forward(self, query: Field, key: Field) -> Field | Nodes:
        """Return weights that are right, but whose dependence on the values is differentiated at fixed nodes."""
        nodes: Any = super().forward(query, key)
        score = key.values[..., -1].gather(1, nodes.indices)
        return Nodes(nodes.indices, nodes.weights / (score - score.detach()).exp())


class ProposalGradient(Uniform):
    learned = True

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.score = nn.Linear(dim, 1)


class ProposalGradientNothingLearned(Uniform):
    learned = True
