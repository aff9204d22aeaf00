"""Samplers: which points the integral is summed over. They change the measure's discretisation and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from itnet_core.operator.field import Field
from itnet_core.plugin.config import ComponentConfig, Configured


@dataclass(frozen=True, eq=False)
class Nodes:
    """Points chosen from a key field, with new weights.

    Attributes:
        indices: into the key's points: (B, M) shared by all queries, or (B, N, M) for each query.
        weights: the nodes' weights, of the same shape; 0 leaves a node out.
        log_proposal: log p(y_j) of a proposal that is learned, of the same shape, with its gradient, and finite; the
            operator makes of it the loss that trains the proposal, see `itnet_core.operator.proposal_loss`.
    """

    indices: Tensor
    weights: Tensor
    log_proposal: Tensor | None = None


class Sampler(Configured, nn.Module, ABC):
    """Base of samplers: `Sampler(dim, config)` chooses the nodes of the quadrature for a field of `dim` channels.

    One that draws at random does so from torch's generator in training, which whoever trains seeds for every step. In
    evaluation it makes one fixed choice, the same for a sample in any batch, unless its configuration asks otherwise.

    Attributes:
        unbiased: whether the mean over many draws of a sum over its nodes is the sum over the field, and the mean of
            its gradients the gradient. Weights w / (M p) are so if p is held constant (`Tensor.detach`).
        truncates: whether it leaves a part of the domain out: its nodes have the key's own weights, and no others
            stand for what is left out. Those of the others carry the whole mass.
        learned: whether it has parameters, trained by a loss of their own (`Nodes.log_proposal`) or by the result's.
    """

    unbiased: bool = True
    truncates: bool = False
    learned: bool = False

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.dim = dim
        self.config = self.configure(config, options)

    @abstractmethod
    def forward(self, query: Field, key: Field) -> Field | Nodes:
        """Return a field to integrate over in the key's place (before `project`), or nodes of it (gathered after).

        The kernel sees a field as `Field.sampled_from` the key, so that lengths that it takes from points stay.
        """


class FullSampler(Sampler):
    """Every point of the key field."""

    def forward(self, query: Field, key: Field) -> Field:
        """Return `key`."""
        return key
