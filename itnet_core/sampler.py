"""Samplers: which points the integral is summed over. They change the measure's discretisation and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from itnet_core.config import ComponentConfig, Configured
from itnet_core.field import Field


@dataclass(frozen=True, eq=False)
class Nodes:
    """Points chosen from a key field, with new weights.

    Attributes:
        indices: into the key's points: (B, M) shared by all queries, or (B, N, M) for each query.
        weights: the nodes' weights, of the same shape; 0 leaves a node out.
    """

    indices: Tensor
    weights: Tensor


class Sampler(Configured, nn.Module, ABC):
    """Base of samplers: `Sampler(dim, config)` chooses the nodes of the quadrature for a field of `dim` channels.

    Attributes:
        unbiased: whether the mean over many draws of a sum over its nodes is the sum over the field.
        learned: whether it has parameters that the result's gradient reaches.
    """

    unbiased: ClassVar[bool] = True
    learned: ClassVar[bool] = False

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.dim = dim
        self.config = self.configure(config, options)

    @abstractmethod
    def forward(self, query: Field, key: Field) -> Field | Nodes:
        """Return a field to integrate over in the key's place (before `project`), or nodes of it (gathered after)."""


class FullSampler(Sampler):
    """Every point of the key field."""

    def forward(self, query: Field, key: Field) -> Field:
        """Return `key`."""
        return key
