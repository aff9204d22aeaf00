"""The kit checks encoders whose batches are in containers of any kind, and models move such batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import Batch
from itnet_registry import create_model
from itnet_registry.api import _registry
from itnet_testing import EncoderConformance
from itnet_train.data.batches import TaskBatch

PLUGIN = Path(__file__).parent / "containers"
CHECKS = (
    "batch_mapping",
    "float64",
    "gradients",
    "compile",
    "field_validity",
    "padding_invariance",
    "checkpoint_round_trip",
)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(PLUGIN))
    _registry.cache_clear()
    yield
    _registry.cache_clear()


@pytest.mark.parametrize("name", ["pyg", "mapping", "dataclass"])
def test_an_encoder_passes_the_kit(name: str) -> None:
    case = type("Case", (EncoderConformance,), {"component": f"itnet-containers/{name}"})()
    failures = [outcome for outcome in case.run(*CHECKS) if outcome.status != "passed"]
    assert failures == []


@pytest.mark.parametrize("name", ["pyg", "mapping", "dataclass"])
def test_a_model_moves_the_batch_to_a_device(name: str) -> None:
    model = create_model(width=8, depth=1, encoder=f"itnet-containers/{name}", kernel="mlp", heads={})
    encoder: Any = model.encoders[name]
    batch = encoder.example()
    devices: set[str] = set()

    def note(tensor: torch.Tensor) -> torch.Tensor:
        devices.add(tensor.device.type)
        return tensor

    encoder.map_tensors(model.move_inputs(batch, "meta"), note)
    moved = TaskBatch(name, Batch(batch, torch.zeros(2))).to(torch.device("meta"), model).batch
    note(encoder.map_tensors(moved.inputs, note) and moved.targets)
    assert devices == {"meta"}
    assert torch.is_tensor(model(batch))  # the batch itself has stayed on the CPU
