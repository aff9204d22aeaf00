from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Trainer

from itnet_core import ConfigError, parse
from itnet_train import TrainConfig
from itnet_train.config import REPLACED
from itnet_train.engine.trainer import create_trainer

STARTED_BY: dict[str, Mapping[str, str]] = {
    "torchrun": {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "3", "RANK": "0", "LOCAL_RANK": "0"},
    "srun": {
        "SLURM_NTASKS": "3",
        "SLURM_NTASKS_PER_NODE": "3",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
    },
    "hand": {"WORLD_SIZE": "3", "RANK": "0"},
}


@pytest.mark.parametrize("launcher", STARTED_BY)
@pytest.mark.parametrize("devices", [1, 2])
def test_processes_that_are_not_one_for_each_device_are_refused(
    launcher: str, devices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would train by themselves, all into one directory."""
    for name, value in STARTED_BY[launcher].items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"train\.devices: found 3 processes") as caught:
        create_trainer(TrainConfig(accelerator="cpu", devices=devices))
    assert "train.devices=3" in caught.value.hint
    assert create_trainer(TrainConfig(accelerator="cpu", devices=3)).world_size == 3


def test_a_launcher_that_fails_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "3")
    with pytest.raises(ConfigError, match="--ntasks-per-node=3"):
        create_trainer(TrainConfig(accelerator="cpu"))


def test_other_arguments_of_lightning_reach_it() -> None:
    config = parse(TrainConfig, {"accelerator": "cpu", "trainer": {"limit_train_batches": 7}}, "train")
    assert create_trainer(config).limit_train_batches == 7
    with pytest.raises(ConfigError, match=r"train\.trainer\.limit_train_batch: .*Did you mean 'limit_train_batches'\?"):
        create_trainer(TrainConfig(trainer={"limit_train_batch": 7}))


@pytest.mark.parametrize("name", REPLACED)
def test_arguments_that_the_engine_sets_are_refused_with_their_field(name: str) -> None:
    assert name in signature(Trainer).parameters
    field = REPLACED[name]
    assert not field or field in TrainConfig.model_fields
    with pytest.raises(ConfigError, match=rf"train\.trainer: .*it sets {name}; .*{field}"):
        parse(TrainConfig, {"trainer": {name: 1}}, "train")


@pytest.mark.slow
def test_several_tasks_learn_on_several_devices(
    tmp_path: Path, start_itnet: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A batch of one task leaves the encoders and heads of the others unused."""
    tasks = {"signal": "tones", "echo": {"name": "echoes", "size": 40}}
    model = {"width": 8, "depth": 1, "encoders": {"signal": "signal", "echo": "echo"}, "tasks": tasks}
    train = {"epochs": 1, "batch_size": 8, "devices": 2, "accelerator": "cpu"}
    config = tmp_path / "joint.yaml"
    config.write_text(yaml.safe_dump({"model": model, "train": train}))
    done = start_itnet("train", config, "--output", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 96 // 16 + 40 // 16
