"""A model whose checkpoints are tested."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from itnet_registry import Registry


@pytest.fixture
def model(registry: Registry) -> Any:
    """Return a model of two blocks."""
    torch.manual_seed(0)
    return registry.create_model("toy", encoder="pixels", task="stripes", depth=2, kernel="mlp", width=16)
