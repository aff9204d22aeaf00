"""Heads turn the trunk's field into a prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import PositiveInt
from torch import Tensor, nn

from itnet_core.operator.field import Field
from itnet_core.plugin.config import ComponentConfig, Configured


class Head(Configured, nn.Module, ABC):
    """Base class of heads: `Head(dim, config)` maps a field of `dim` channels to a prediction.

    Example:
        >>> class MeanHead(Head):
        ...     def forward(self, field):
        ...         return mean(field)
        >>> MeanHead(8)(Field.on_grid(torch.randn(2, 6, 6, 8))).shape
        torch.Size([2, 8])
    """

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.dim = dim
        self.config = self.configure(config, options)

    @abstractmethod
    def forward(self, field: Field) -> Tensor:
        """Predict for each sample, or for each point."""


class ClassificationHead(Head):
    """Logits of each sample: a linear map of the field's mean under its measure.

    Example:
        >>> head = ClassificationHead(8, classes=10)
        >>> head(Field.on_grid(torch.randn(2, 6, 6, 8))).shape
        torch.Size([2, 10])
    """

    class Config(ComponentConfig):
        """Number of classes."""

        classes: PositiveInt
        """Number of classes."""

    example_options: ClassVar[Mapping[str, Any]] = {"classes": 3}

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.linear = nn.Linear(dim, self.config.classes)

    def forward(self, field: Field) -> Tensor:
        """Return logits of shape (B, classes)."""
        return self.linear(mean(field))


class RegressionHead(Head):
    """Real-valued outputs of each sample: a linear map of the field's mean under its measure.

    Example:
        >>> RegressionHead(8)(Field.on_grid(torch.randn(2, 6, 6, 8))).shape
        torch.Size([2, 1])
    """

    class Config(ComponentConfig):
        """Number of outputs."""

        outputs: PositiveInt = 1
        """Number of outputs of each sample."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.linear = nn.Linear(dim, self.config.outputs)

    def forward(self, field: Field) -> Tensor:
        """Return outputs of shape (B, outputs)."""
        return self.linear(mean(field))


class PerPointHead(Head):
    """Logits or real-valued outputs at every point: a linear map of the values.

    Example:
        >>> PerPointHead(8, outputs=3)(Field.on_grid(torch.randn(2, 6, 6, 8))).shape
        torch.Size([2, 36, 3])
    """

    class Config(ComponentConfig):
        """Number of outputs."""

        outputs: PositiveInt
        """Number of outputs at each point."""

    example_options: ClassVar[Mapping[str, Any]] = {"outputs": 3}

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.linear = nn.Linear(dim, self.config.outputs)

    def forward(self, field: Field) -> Tensor:
        """Return outputs of shape (B, N, outputs)."""
        return self.linear(field.values)


def mean(field: Field) -> Tensor:
    """Return the mean of a field under its measure, ∫ u dμ / ∫ dμ, shape (B, d).

    Example:
        >>> mean(Field(torch.tensor([[[1.0], [3.0]]]), torch.zeros(1, 2, 1)))
        tensor([[2.]])
    """
    weights = field.weights.to(field.values.dtype)
    values = field.values.masked_fill(~field.mask.unsqueeze(-1), 0.0)
    return (weights.unsqueeze(1) @ values).squeeze(1) / weights.sum(-1, keepdim=True)
