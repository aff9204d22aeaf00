"""Encoders of batches in containers of PyTorch Geometric, in mappings and in dataclasses."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_dense_batch

from itnet_core import AXES, ComponentConfig, Encoder, Field


class Linear(Encoder):
    """A linear map of three features at points on the axis x, whose mask has the points that are not padding."""

    axes: ClassVar[str] = "x"

    class Config(ComponentConfig):
        """No options."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.linear = nn.Linear(3, dim)

    def field(self, features: Tensor, positions: Tensor, mask: Tensor) -> Field:
        """Return the field of features (B, N, 3) at x (B, N)."""
        share = mask.to(features.dtype)
        space = positions.new_zeros(*positions.shape, len(AXES)).index_fill(-1, torch.tensor([1]), 1.0)
        return Field(self.linear(features), space * positions.unsqueeze(-1), share / share.sum(1, keepdim=True))


class OfPyG(Linear):
    """A linear map of the nodes of a batch of PyTorch Geometric."""

    modality = "pyg"

    def forward(self, inputs: Batch) -> Field:
        """Encode the nodes."""
        features, mask = to_dense_batch(inputs.x, inputs.batch)
        positions, _ = to_dense_batch(inputs.pos, inputs.batch)
        return self.field(features, positions[..., 0], mask)

    def map_tensors(self, inputs: Batch, function: Callable[[Tensor], Tensor]) -> Batch:
        """Return a batch with mapped tensors."""
        return copy(inputs).apply(function)

    def split(self, inputs: Batch) -> list[Batch]:
        """Return batches of one graph."""
        return [Batch.from_data_list([graph]) for graph in inputs.to_data_list()]

    def example(self) -> Batch:
        """Return a graph of five nodes and one of three."""
        return Batch.from_data_list([Data(x=torch.randn(n, 3), pos=torch.rand(n, 1)) for n in (5, 3)])


class OfMapping(Linear):
    """A linear map of features in a mapping that is no dict, as tokenizers return."""

    modality = "mapping"

    def forward(self, inputs: UserDict[str, Any]) -> Field:
        """Encode the features."""
        return self.field(inputs["features"], inputs["positions"], inputs["mask"])

    def example(self) -> UserDict[str, Any]:
        """Return two samples."""
        mask = torch.ones(2, 4, dtype=torch.bool)
        mask[1, 2:] = False
        return UserDict(features=torch.randn(2, 4, 3), positions=torch.rand(2, 4), mask=mask, unit="mm")


@dataclass(frozen=True)
class Clouds:
    """Features (B, N, 3) at x (B, N), and the names of the samples."""

    features: Tensor
    positions: Tensor
    names: list[str]
    unit: str = "mm"


class OfDataclass(Linear):
    """A linear map of features in a dataclass."""

    modality = "dataclass"

    def forward(self, inputs: Clouds) -> Field:
        """Encode the features."""
        assert inputs.unit == "mm"
        assert len(inputs.names) == len(inputs.features)
        return self.field(inputs.features, inputs.positions, torch.ones_like(inputs.positions))

    def example(self) -> Clouds:
        """Return two samples."""
        return Clouds(torch.randn(2, 4, 3), torch.rand(2, 4), ["a", "b"])
