"""An encoder that adds an attribute to its points, and a kernel whose support it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from itnet_core import ComponentConfig, Encoder, Field, Kernel, Normalization


class PackedEncoder(Encoder):
    """Sequences of three channels that are packed into rows of equal length, with the number of each point's sequence.

    A batch is the values (B, T, 3) and the numbers (B, T).
    """

    modality = "sequence"
    axes = "t"
    attributes = ("segment",)

    class Config(ComponentConfig):
        """No options."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.linear = nn.Linear(3, dim)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Field:
        """Encode the values."""
        values, numbers = inputs
        return Field.on_grid(self.linear(values), axes="t").with_attributes(segment=numbers)

    def example(self) -> tuple[Tensor, Tensor]:
        """Return two rows of two and three sequences."""
        return torch.randn(2, 6, 3), torch.tensor([[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 2, 2]])


Terms = tuple[Tensor, Tensor]


class SegmentKernel(Kernel[Terms, None]):
    """A Gaussian of the distance of points of one segment, and 0 for others."""

    heads = 2
    reads = ("segment",)

    class Config(ComponentConfig):
        """Options of the kernel."""

        normalization: Normalization = "none"
        """As in `Kernel`."""
        opaque: bool = False
        """Whether `torch.compile` leaves the operator uncompiled."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = self.configure(config, options)
        self.normalization = self.config.normalization
        self.length = nn.Parameter(torch.tensor([0.5, 1.0]))

    @classmethod
    def example_attributes(cls, batch: int, points: int) -> Mapping[str, Tensor]:
        """Return random segments."""
        return {"segment": torch.randint(3, (batch, points))}

    @property
    def opaque(self) -> bool:
        """Whether the operator is opaque."""
        return bool(self.config.opaque)

    def project(self, query: Field, key: Field) -> tuple[Terms, Terms]:
        """Return positions and segments."""
        sides = [(field.positions, field.points.attribute("segment")) for field in (query, key)]
        return sides[0], sides[1]

    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Compute k, or its logarithm for softmax, (B, heads, n, m)."""
        (x, own), (y, other) = query_terms, key_terms
        squared = (x.unsqueeze(2) - y.unsqueeze(1)).square().sum(-1).unsqueeze(1) / self.length.view(-1, 1, 1) ** 2
        elsewhere = (own.unsqueeze(2) != other.unsqueeze(1)).unsqueeze(1)
        if self.normalization == "softmax":
            return (-squared).masked_fill(elsewhere, -torch.inf)
        return (-squared).exp().masked_fill(elsewhere, 0.0)
