"""Runs of several processes, which are equal to a run of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from itnet_core import ConfigError
from itnet_train import TrainConfig
from itnet_train.config import ParallelSection
from itnet_train.engine.trainer import create_trainer

MODEL = {"width": 8, "depth": 2, "encoder": "signal", "task": "tones"}
WAYS: dict[str, dict[str, Any]] = {
    "one process": {"batch_size": 16},
    "batches of their own": {"batch_size": 8, "devices": 2},
    "shared points": {"batch_size": 16, "devices": 2, "parallel": {"points": 2}},
}


def run(folder: Path, **train: Any) -> dict[str, Any]:
    config = folder.with_suffix(".yaml")
    sections = {"model": MODEL, "train": {"epochs": 2, "accelerator": "cpu", **train}}
    config.write_text(yaml.safe_dump(sections))
    command = [sys.executable, "-m", "itnet_registry", "train", str(config), "--output", str(folder), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    metrics: dict[str, Any] = json.loads(done.stdout)
    return metrics


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    alone, *others = (run(tmp_path / name.replace(" ", "-"), **options) for name, options in WAYS.items())
    for metrics in others:
        assert metrics["steps"] == alone["steps"]
        assert metrics["validation"] == pytest.approx(alone["validation"], rel=1e-4)
        assert metrics["test"] == pytest.approx(alone["test"], rel=1e-4)


def test_processes_that_share_points_divide_all() -> None:
    with pytest.raises(ConfigError, match=r"train\.parallel\.points: found 2, with 3 processes; expected a divisor"):
        create_trainer(TrainConfig(accelerator="cpu", devices=3, parallel=ParallelSection(points=2)))


def test_several_nodes_need_a_launcher() -> None:
    with pytest.raises(ConfigError, match="for devices = 2 on each of 2 nodes") as caught:
        create_trainer(TrainConfig(accelerator="cpu", devices=2, nodes=2))
    assert "torchrun --nnodes 2 --nproc-per-node 2" in caught.value.hint
