"""Encoders turn raw samples of one modality into fields; nothing after them knows what a picture or a word is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import PositiveInt
from torch import nn

from itnet_core.operator.field import AXES, Field
from itnet_core.plugin.config import ComponentConfig, Configured
from itnet_core.plugin.errors import ShapeError


class Encoder(Configured, nn.Module, ABC):
    """Base of encoders: `Encoder(dim, config)` maps a batch of its modality to a `Field` of `dim` channels.

    The field's positions lie in the shared space-time R^4 (`itnet_core.AXES`), so that fields of different modalities
    can be united.

    Attributes:
        modality: what it reads (`"image"`); the same word as in its `ComponentSpec`.
        axes: the axes of space-time on which its points differ; on the others they lie at 0.
        mass: what the weights of each sample sum to, with the default options; `None` where it depends on the sample.
    """

    modality: ClassVar[str]
    axes: ClassVar[str] = AXES
    mass: ClassVar[float | None] = 1.0

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.dim = dim
        self.config = self.configure(config, options)

    @abstractmethod
    def forward(self, inputs: Any) -> Field:
        """Return the field of a batch; its values have shape (B, N, dim)."""

    def example(self) -> Any:
        """Return a small batch that it reads, of two samples or more and of different lengths where there are lengths.

        For checks, tracing and documentation.
        """
        raise NotImplementedError(f"{type(self).__name__} has no example of what it reads")


class FieldEncoder(Encoder):
    """Fields as they are, with a linear map of their values: for data that are functions at points already."""

    modality = "field"
    mass: ClassVar[float | None] = None

    class Config(ComponentConfig):
        """Attributes: channels: of the fields that it reads."""

        channels: PositiveInt

    example_options: ClassVar[Mapping[str, Any]] = {"channels": 3}

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.linear = nn.Linear(self.config.channels, dim)

    def forward(self, inputs: Field) -> Field:
        """Return the field with values of `dim` channels.

        Args:
            inputs: positions in R^4, values of shape (B, N, channels).

        Raises:
            ShapeError: it is something else.
        """
        expected = f"a Field of {self.config.channels} channels with positions in R^{len(AXES)}"
        if not isinstance(inputs, Field):
            raise ShapeError("FieldEncoder(inputs)", found=type(inputs).__name__, expected=expected)
        if inputs.dim != self.config.channels or inputs.positions.shape[-1] != len(AXES):
            found = f"{inputs.dim} channels with positions in R^{inputs.positions.shape[-1]}"
            raise ShapeError("FieldEncoder(inputs)", found=found, expected=expected)
        return inputs.map(self.linear)

    def example(self) -> Field:
        """Return two fields of five points, the last of the second one padding."""
        values, positions = torch.randn(2, 5, self.config.channels), 2 * torch.rand(2, 5, len(AXES)) - 1
        weights = torch.full((2, 5), 0.2)
        weights[1] = torch.tensor([0.25, 0.25, 0.25, 0.25, 0.0])
        return Field(values, positions, weights)
