"""Runs of several processes, which are equal to a run of one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn

from itnet_core import ConfigError
from itnet_testing.processes import run_processes
from itnet_train import TrainConfig, train
from itnet_train.config import ParallelSection
from itnet_train.engine.parallel import named_blocks
from itnet_train.engine.single_modality import SingleModality
from itnet_train.engine.trainer import create_trainer

Rows = Callable[[Path], list[dict[str, float]]]
MODEL = {"width": 8, "depth": 2, "encoder": "signal", "task": "tones"}


def sections(folder: Path, **fields: Any) -> dict[str, Any]:
    """The sections of a run that averages its weights, and that a section scores after each epoch."""
    chosen = {"epochs": 2, "accelerator": "cpu", "ema": 0.9, **fields}
    return {"model": MODEL, "train": chosen, "probe": {"file": str(folder.with_suffix(".steps"))}}


def run(folder: Path, *options: str, **fields: Any) -> dict[str, Any]:
    config = folder.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(sections(folder, **fields)))
    command = [
        sys.executable,
        "-m",
        "itnet_registry",
        "train",
        str(config),
        "--output",
        str(folder),
        "--json",
        *options,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    metrics: dict[str, Any] = json.loads(done.stdout)
    return metrics


@pytest.mark.parametrize(
    ("script", "processes"),
    [
        ("sharing_parameters", 2),
        pytest.param("sharing_parameters", 4, marks=pytest.mark.slow),
        ("comparing_samples", 4),
    ],
)
def test_several_processes_have_the_gradients_of_one(script: str, processes: int, tmp_path: Path) -> None:
    run_processes(Path(__file__).with_name(f"{script}.py"), processes, tmp_path)
    for rank in range(processes):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert len(found) >= 4
        assert {name: error for name, error in found.items() if not error < 1e-12} == {}


@pytest.mark.parametrize(
    ("train", "degrees"),
    [
        ({"devices": 4}, (4, 1, 1)),
        ({"devices": 4, "parallel": {"points": 2}}, (2, 1, 2)),
        ({"devices": 4, "strategy": "fsdp"}, (1, 4, 1)),
        ({"devices": 4, "nodes": 2, "parallel": {"replicate": 2, "points": 2}}, (2, 2, 2)),
        ({"devices": 8, "nodes": 128, "strategy": "fsdp", "parallel": {"points": 8}}, (1, 128, 8)),
    ],
)
def test_degrees_divide_the_processes(train: dict[str, Any], degrees: tuple[int, int, int]) -> None:
    assert TrainConfig.model_validate(train).degrees == degrees


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"devices": 4, "parallel": {"points": 3}}, "expected degrees whose product is devices · nodes"),
        ({"devices": 4, "parallel": {"shard": 3}}, "expected degrees whose product is devices · nodes"),
        ({"devices": 4, "strategy": "ddp", "parallel": {"shard": 2}}, "expected points alone, or strategy = 'fsdp'"),
        ({"devices": 4, "parallel": {"replicate": 4}}, "expected 2 or more, or strategy = 'ddp'"),
    ],
)
def test_other_degrees_are_refused(train: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_trainer(TrainConfig.model_validate({"accelerator": "cpu", **train}))


@pytest.mark.slow
def test_a_run_resumes_on_another_number_of_processes(tmp_path: Path, rows: Rows) -> None:
    whole = run(tmp_path / "whole", strategy="fsdp", batch_size=16)
    for number, devices in enumerate((2, 1, 4)):
        ways = {"strategy": "fsdp", "devices": devices, "batch_size": 16 // devices, "save_every_steps": 1}
        last = number == 2
        metrics = run(tmp_path / "cut", "--resume", **ways, max_minutes=None if last else 1e-3)
        assert (metrics["stopped"] == "max_minutes") is not last
    assert metrics["steps"] == whole["steps"]
    assert metrics["test"] == pytest.approx(whole["test"], rel=1e-4)
    moved, stayed = (rows(tmp_path / name)[-1]["probe/output"] for name in ("cut", "whole"))
    assert moved == pytest.approx(stayed, rel=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"batch_size": 8}, marks=pytest.mark.slow),
        pytest.param({"batch_size": 16, "parallel": {"points": 2}}, marks=pytest.mark.slow),
        {"batch_size": 8, "strategy": "fsdp"},
    ],
    ids=str,
)
def test_two_processes_train_as_one_does(tmp_path: Path, rows: Rows, options: dict[str, Any]) -> None:
    alone, two = tmp_path / "alone", tmp_path / "two"
    expected, metrics = train(sections(alone, batch_size=16), alone), run(two, devices=2, **options)
    assert metrics["steps"] == expected["steps"]
    assert metrics["test"] == pytest.approx(expected["test"], rel=1e-4)
    for ours, theirs in zip(rows(two), rows(alone), strict=True):
        assert "probe/output" in ours
        assert ours == pytest.approx({**theirs, "seconds": ours["seconds"]}, rel=1e-4)


def test_several_nodes_need_a_launcher() -> None:
    with pytest.raises(ConfigError, match="for devices = 2 on each of 2 nodes") as caught:
        create_trainer(TrainConfig(accelerator="cpu", devices=2, nodes=2))
    assert "torchrun --nnodes 2 --nproc-per-node 2" in caught.value.hint


@pytest.mark.slow
def test_a_module_whose_parameters_are_shared_trains_as_one(tmp_path: Path) -> None:
    ways: dict[str, dict[str, Any]] = {
        "alone": {"batch_size": 16},
        "shared": {"batch_size": 8, "devices": 2, "strategy": "fsdp", "parallel": {"blocks": ["layers.*"]}},
    }
    for name, fields in ways.items():
        (tmp_path / name).mkdir()
        command = [sys.executable, str(Path(__file__).with_name("training_a_module.py")), str(tmp_path / name)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([*command, json.dumps(fields)], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    files = ("alone/0.pt", "shared/0.pt", "shared/1.pt")
    alone, *shared = (torch.load(tmp_path / file, weights_only=True) for file in files)
    best = load_file(tmp_path / "shared/run/best/model.safetensors")
    for found in shared:
        assert found["test"] == pytest.approx(alone["test"], rel=1e-4)
        torch.testing.assert_close(found["weights"], alone["weights"], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(found["weights"], best, rtol=0, atol=0)


@pytest.mark.parametrize(("paths", "found"), [(("layers.*", "blocks.*"), "'blocks.*'"), (("layers",), None)])
def test_blocks_are_modules_of_the_model(paths: tuple[str, ...], found: str | None) -> None:
    module = nn.Module()
    module.layers = nn.ModuleList(nn.Sequential(nn.Linear(2, 2)) for _ in range(2))
    config = TrainConfig(accelerator="cpu", strategy="fsdp", parallel=ParallelSection(blocks=paths))
    if found is None:
        assert named_blocks(SingleModality(module), config) == [module.layers]
    else:
        with pytest.raises(ConfigError, match=f"train.parallel.blocks: found {re.escape(found)}; expected paths of"):
            named_blocks(SingleModality(module), config)
