from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from itnet_core import ConfigError
from itnet_registry import CheckpointError, Registry
from itnet_registry.build.memory import FACTORIES, OVERHEAD, MemoryLimit
from itnet_registry.checkpoints.manifest import MAX_BYTES


def test_what_fits_is_made_and_counted() -> None:
    torch.manual_seed(0)
    expected = nn.Linear(10, 5).weight
    torch.manual_seed(0)
    with MemoryLimit(2**20, "a test") as memory:
        actual = nn.Linear(10, 5).weight
    assert memory.used == (10 * 5 + 5) * 4 + 2 * OVERHEAD
    assert torch.equal(actual, expected)


def test_what_does_not_fit_is_refused_before_it_is_there() -> None:
    with MemoryLimit(2**20, "a test"), pytest.raises(ConfigError, match="3.64 TB or more"):
        torch.zeros(10**6, 10**6)
    with MemoryLimit(2**20, "a test"), pytest.raises(ConfigError, match="cannot be created"):
        torch.zeros(10**30)


def _name(factory: Any) -> str:
    return str(factory.__name__)


@pytest.mark.parametrize("factory", sorted(FACTORIES, key=_name), ids=_name)
def test_every_factory_is_counted(factory: Callable[..., Any]) -> None:
    arguments = {
        torch.arange: (2**20,),
        torch.eye: (2**10, 2**10),
        torch.empty_strided: ((2**20,), (1,)),
        torch.full: ((2**20,), 1.0),
        torch.linspace: (0, 1, 2**20),
        torch.logspace: (0, 1, 2**20),
        torch.randint: (5, (2**20,)),
    }.get(factory, (2**20,))
    generator = {"generator": torch.Generator()} if factory in (torch.rand, torch.randn, torch.randperm) else {}
    with MemoryLimit(2**20, "a test"), pytest.raises(ConfigError, match="MB or more"):
        factory(*arguments, **generator)


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ({"width": 2**22}, "model.trunk.0.width"),
        ({"width": 10**30}, "model"),
        ({"depth": 10**9}, "model.trunk.0.repeat"),
        ({"ffn_ratio": 1e300}, "model"),
        ({"kernel": {"name": "mlp", "hidden": 10**12}}, "model.trunk.0.kernel"),
        ({"kernel": {"name": "mlp", "heads": 10**12}}, "model.trunk.0.kernel"),
    ],
)
def test_a_configuration_of_absurd_size_is_refused(registry: Registry, override: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError, match="this machine's memory") as caught:
        registry.create_model("toy", encoder="pixels", heads={}, **override)
    assert str(caught.value).startswith(place)


@pytest.mark.parametrize("change", [{"repeat": 10**9}, {"repeat": 10**5}, {"width": 2**14}, {"ffn_ratio": 1e9}])
def test_a_checkpoint_takes_no_more_memory_than_its_weights_explain(
    registry: Registry, tmp_path: Path, change: dict[str, Any]
) -> None:
    model = registry.create_model("toy", encoder="pixels", heads={})
    registry.save_model(model, tmp_path / "c")
    manifest = json.loads((tmp_path / "c" / "itnet.json").read_text())
    manifest["config"]["trunk"][0] |= change
    (tmp_path / "c" / "itnet.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"/c: config.*for the size of its model\.safetensors"):
        registry.load_model(tmp_path / "c")


def test_a_manifest_of_absurd_size_is_not_read(registry: Registry, tmp_path: Path) -> None:
    model = registry.create_model("toy", encoder="pixels", heads={})
    registry.save_model(model, tmp_path / "c")
    with (tmp_path / "c" / "itnet.json").open("r+b") as file:
        file.truncate(100 * MAX_BYTES)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="expected a manifest of at most"):
        registry.load_model(tmp_path / "c")
    assert tracemalloc.get_traced_memory()[1] < MAX_BYTES
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [((5,), {}), ((2, 7), {}), ((2, 7, 2), {}), ((), {"end": 9}), ((1,), {"end": 9, "step": 3}), ((0.0, 1.0, 0.3), {})],
)
def test_the_bytes_of_a_range_are_counted(arguments: tuple[float, ...], options: dict[str, float]) -> None:
    with MemoryLimit(2**20, "for a test") as memory:
        made = torch.arange(*arguments, **options)  # type: ignore[call-overload]
    assert made.numel() * 8 == memory.used - OVERHEAD
    with MemoryLimit(OVERHEAD + 8 * made.numel() - 1, "for a test"), pytest.raises(ConfigError, match="for a test"):
        torch.arange(*arguments, **options)  # type: ignore[call-overload]
