"""Fixtures and settings shared by the tests of several packages."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

if not torch.cuda.is_available():  # before anything imports Triton, whose interpreter plugins/triton is tested by
    os.environ.setdefault("TRITON_INTERPRET", "1")

# "fixed" draws the same examples in every run. "random" draws new ones, and prints how to reproduce a failure:
# HYPOTHESIS_PROFILE=random make test, or pytest --hypothesis-profile=random.
settings.register_profile("fixed", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None, derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compile one configuration of each component in `make test`, and all in `make test-all`: it takes seconds."""
    compiled = set()
    for item in items:
        component = getattr(getattr(item, "cls", None), "component", None)
        if component is not None and item.name == "test_check[compile]":
            if component in compiled:
                item.add_marker(pytest.mark.slow)
            compiled.add(component)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _hints_name_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hints say what they say where the registry was installed from an index, and not from this clone."""
    monkeypatch.setattr("itnet_registry.plugins.clone.clone_root", lambda: None)


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """Write an image of random pixels to a file, whose suffix says the format."""
    random = np.random.default_rng(0)

    def write(path: Path, size: tuple[int, int] = (20, 16), mode: str = "RGB", **options: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode == "I;16":
            image = Image.fromarray(random.integers(0, 2**16, size[::-1], dtype=np.uint16))
        else:
            drawn = "RGB" if mode == "P" else mode
            bands = len(Image.new(drawn, (1, 1)).getbands())
            pixels = random.integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
            image = Image.frombytes(drawn, size, pixels.tobytes())
        (image.quantize(16) if mode == "P" else image).save(path, **options)
        return path

    return write


@pytest.fixture
def dry_run() -> Callable[..., dict[str, int]]:
    """Check a configuration of examples/paper as `itnet train --dry-run` does, on one CPU, with some fields changed."""

    def check(name: str, *assignments: str) -> dict[str, int]:
        from itnet_registry import load_config
        from itnet_train.commands.overrides import apply_overrides
        from itnet_train.engine.model_run import ModelRun

        config = load_config(Path(__file__).parent / f"examples/paper/{name}.yaml")
        machine = ("train.devices=1", "train.precision=32-true", "train.accelerator=cpu")
        return ModelRun.from_sections(apply_overrides(config, [*machine, *assignments])).check()

    return check
