"""Samplers: the nodes of the quadrature. They change how the measure is discretised and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from itnet_core.operator.field import Field
from itnet_core.plugin.config import ComponentConfig, Configured


@dataclass(frozen=True, eq=False)
class Nodes:
    """Points chosen from a key field, with new weights.

    Example:
        >>> nodes = Nodes(indices=torch.tensor([[0, 2, 4]]), weights=torch.full((1, 3), 1 / 3))
        >>> kernel, field = MLPKernel(8), Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))
        >>> kernel.problem(field, field, values=torch.randn(1, 5, 4, 2)).at_nodes(nodes).shape
        (1, 5, 3)

    Attributes:
        indices: into the key's points: (B, M) shared by all queries, or (B, N, M) for each query.
        weights: the nodes' weights, of the same shape; 0 leaves a node out.
        loss: an auxiliary loss of the sampler, a scalar, as a function of the `Problem` at these nodes. It trains a
            learned proposal where `auxiliary_losses` collects it.
    """

    indices: Tensor
    weights: Tensor
    loss: Callable[[Any], Tensor] | None = None


class Sampler(Configured, nn.Module, ABC):
    """Base class of samplers: `Sampler(dim, config)` chooses the nodes of the quadrature for fields of `dim` channels.

    In training, a sampler that draws at random does so from torch's global generator. In evaluation it makes one fixed
    choice, the same for a sample in any batch, unless it is configured to draw new nodes each time.

    Example:
        >>> class EverySecond(Sampler):
        ...     unbiased = False
        ...     def forward(self, query, key):
        ...         indices = torch.arange(0, key.weights.shape[1], 2).expand(key.weights.shape[0], -1)
        ...         return Nodes(indices, 2 * key.weights.gather(1, indices))
        >>> field = Field(torch.randn(1, 6, 8), torch.rand(1, 6, 4))
        >>> EverySecond(8)(field, field).weights
        tensor([[0.3333, 0.3333, 0.3333]])

    Attributes:
        unbiased: whether the expected sum over its nodes is the sum over the field, and the expected gradient the
            gradient. Weights w / (M p) are unbiased if p is held constant (`Tensor.detach`).
        truncates: whether it leaves a part of the domain out: its nodes have the key's own weights. Otherwise the nodes
            carry the whole mass.
        learned: whether it has parameters, trained by a loss of their own (`Nodes.loss`) or by the result's.
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
        """Choose the nodes for the integral over `key` at the points of `query`.

        Returns:
            A field to integrate over in place of `key`, which the kernel projects; or nodes of `key`, which are
            gathered after projection. The operator sets the `sampled_from` of a new field to `key`, so that a kernel
            can take lengths, such as a grid's spacing, from the original points.
        """


class FullSampler(Sampler):
    """Every point of the key field.

    Example:
        >>> field = Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))
        >>> FullSampler(8)(field, field) is field
        True
    """

    def forward(self, query: Field, key: Field) -> Field:
        """Return `key`."""
        return key
