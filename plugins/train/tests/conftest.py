from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

import itnet_core
from itnet_registry import create_model, save_model
from itnet_registry.api import _registry
from itnet_registry.cli.app import app
from itnet_train import train

TOY = Path(__file__).parent / "toy"
SECTIONS: dict[str, Any] = {
    "model": {
        "width": 8,
        "depth": 1,
        "dropout": 0.1,
        "encoder": "signal",
        "kernel": {"name": "mlp", "heads": 2, "hidden": 8},
        "task": "tones",
    },
    "train": {"epochs": 3, "batch_size": 16, "learning_rate": 1e-2, "accelerator": "cpu"},
}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy plugin as an installed distribution."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(TOY / "itnet_toy", site / "itnet_toy", ignore=shutil.ignore_patterns("__pycache__"))
    metadata = site / "itnet_toy-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: itnet-toy\nVersion: 0.1.0\nRequires-Dist: itnet-core=={itnet_core.__version__}\n"
    )
    (metadata / "entry_points.txt").write_text("[itnet.plugins]\ntoy = itnet_toy.plugin\n")
    return site


@contextmanager
def installed(site: Path) -> Iterator[None]:
    """Put the toy on `sys.path`, for processes that tests start too, and forget it afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")])))
        _registry.cache_clear()
        yield
    _registry.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "itnet_toy"]:
        del sys.modules[name]  # other tests have a toy of this name, too


@pytest.fixture(scope="module", autouse=True)
def _toy_is_installed(site: Path) -> Iterator[None]:
    with installed(site):
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Tiny tensors are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield
    torch.use_deterministic_algorithms(False)  # as Lightning leaves them after a deterministic run


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory, site: Path) -> Path:
    """A run that learned something."""
    sections = deepcopy(SECTIONS)
    sections["model"] |= {"width": 16, "depth": 2, "dropout": 0.0, "task": {"name": "tones", "size": 256}}
    sections["model"]["kernel"]["hidden"] = 16
    sections["train"]["epochs"] = 16
    run = tmp_path_factory.mktemp("learned") / "run"
    with installed(site), one_thread():
        train(sections, run)
    return run


@pytest.fixture
def rows() -> Callable[[Path], list[dict[str, float]]]:
    """Read a run's history."""
    return lambda run: [{k: float(v) for k, v in row.items()} for row in csv.DictReader((run / "history.csv").open())]


@pytest.fixture
def sections() -> dict[str, Any]:
    """The sections of a run that takes a second."""
    return deepcopy(SECTIONS)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """The same as a file."""
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(SECTIONS))
    return path


@pytest.fixture(scope="session")
def checkpoint(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a model with random weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoint") / "best"
    with installed(site):
        save_model(create_model(**SECTIONS["model"]), folder)
    return folder


@pytest.fixture
def itnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a command in this process, in an empty working directory, and return its result."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return lambda *arguments, **options: CliRunner().invoke(app, [str(argument) for argument in arguments], **options)


@pytest.fixture
def start_itnet(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in a process of its own."""

    def start(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "itnet_registry", *map(str, arguments)],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return start


@pytest.fixture
def weights() -> Callable[[Path], dict[str, torch.Tensor]]:
    """Read a checkpoint's weights."""
    return lambda checkpoint: load_file(checkpoint / "model.safetensors")


@pytest.fixture
def assert_same_weights(weights: Callable[[Path], dict[str, torch.Tensor]]) -> Callable[[Path, Path], None]:
    """Compare two checkpoints bit for bit."""

    def compare(left: Path, right: Path) -> None:
        one, other = weights(left), weights(right)
        assert one.keys() == other.keys()
        for name in one:
            assert torch.equal(one[name], other[name]), name

    return compare
