"""Encoders turn raw samples of one modality into fields; nothing after them knows what a picture or a word is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import nn

from itnet_core.config import ComponentConfig, Configured
from itnet_core.field import Field


class Encoder(Configured, nn.Module, ABC):
    """Base of encoders: `Encoder(dim, config)` maps a batch of its modality to a `Field` of `dim` channels.

    The field's positions lie in the shared space-time R^4 (`itnet_core.field.AXES`), so that fields of different
    modalities can be united.

    Attributes:
        modality: what it reads (`"image"`); the same word as in its `ComponentSpec`.
    """

    modality: ClassVar[str]

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.dim = dim
        self.config = self.configure(config, options)

    @abstractmethod
    def forward(self, inputs: Any) -> Field:
        """Return the field of a batch; its values have shape (B, N, dim)."""
