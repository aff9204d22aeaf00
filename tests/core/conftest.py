from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from itnet_core import Field

MakeField = Callable[..., Field]


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    """Identities hold in float64; every test starts from the same seed."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def make_field() -> MakeField:
    def make(batch: int = 2, points: int = 7, dim: int = 8, coordinates: int = 2, padding: float = 0.3) -> Field:
        weights = torch.rand(batch, points) + 0.1
        weights[:, 1:] *= torch.rand(batch, points - 1) >= padding  # the first point is always there
        return Field(torch.randn(batch, points, dim), torch.randn(batch, points, coordinates), weights)

    return make
