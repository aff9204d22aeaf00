"""One model that learns several tasks together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from itnet_core import ConfigError
from itnet_registry import load, load_model
from itnet_train import evaluate, train
from itnet_train.data.batches import collate
from itnet_train.engine.model_run import ModelRun
from itnet_train.engine.module import TaskModule


@pytest.fixture
def joint(sections: dict[str, Any]) -> dict[str, Any]:
    """The sections of a run of two tasks."""
    model = sections["model"]
    del model["encoder"], model["task"]
    model["encoders"] = {"signal": "signal", "echo": "echo"}
    model["tasks"] = {"signal": "tones", "echo": {"name": "echoes", "size": 40}}
    sections["train"]["tasks"] = {"echo": {"weight": 3.0, "batch_size": 8, "samples": 24}}
    return sections


def test_one_checkpoint_serves_every_task_by_its_modality(joint: dict[str, Any], tmp_path: Path) -> None:
    metrics = train(joint, tmp_path / "run")
    assert metrics["steps"] == 3 * (96 // 16 + 24 // 8)
    test = evaluate(tmp_path / "run/best")
    assert test == pytest.approx(metrics["test"], rel=1e-5)  # batches of other sizes
    for modality in ("signal", "echo"):
        alone = evaluate(tmp_path / "run/best", modality=modality)
        assert alone == pytest.approx({name: test[f"{modality}/{name}"] for name in ("loss", "accuracy")}, rel=1e-5)
    file = tmp_path / "tone.json"
    file.write_text(json.dumps([0.5] * 12))
    with pytest.raises(ConfigError, match="Select one with --modality"):
        load(tmp_path / "run/best")
    answers = [load(tmp_path / "run/best", modality=m)(file) for m in ("signal", "echo")]
    assert answers[0] != answers[1]  # heads and encoders of their own
    model = load_model(tmp_path / "run/best")
    assert set(model.encoders) == set(model.heads) == {"signal", "echo"}


@pytest.mark.slow
def test_both_learn(joint: dict[str, Any], tmp_path: Path) -> None:
    joint["model"] |= {"width": 16, "depth": 2, "dropout": 0.0}
    joint["model"]["tasks"] = {"signal": {"name": "tones", "size": 256}, "echo": {"name": "echoes", "size": 256}}
    joint["train"] |= {"epochs": 10, "tasks": {}}
    test = train(joint, tmp_path / "run")["test"]
    assert min(test["signal/accuracy"], test["echo/accuracy"]) > 0.6  # a guess has a third


def test_the_weight_of_a_task_scales_its_gradient(joint: dict[str, Any]) -> None:
    def gradient(weight: float) -> torch.Tensor:
        joint["train"]["tasks"]["echo"]["weight"] = weight
        run = ModelRun.from_sections(joint)
        module = TaskModule(run.model, run.tasks, run.config).eval()
        samples = [run.data.dataset("echo", "test")[index] for index in range(4)]
        loss = module.training_step(collate(run.tasks["echo"], samples), 0)
        assert loss is not None
        gradients = torch.autograd.grad(loss, list(run.model.trunk.parameters()), allow_unused=True)
        return torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])

    with pytest.warns(UserWarning, match="self.trainer"):
        torch.testing.assert_close(3 * gradient(1.0), gradient(3.0))


@pytest.mark.slow
def test_a_killed_run_is_resumed_bit_for_bit(
    joint: dict[str, Any], tmp_path: Path, start_itnet: Any, assert_same_weights: Callable[[Path, Path], None]
) -> None:
    joint["train"]["save_every_steps"] = 2
    config = tmp_path / "joint.yaml"
    config.write_text(yaml.safe_dump(joint, sort_keys=False))  # the order decides the initial weights
    killed = start_itnet("train", config, "--output", tmp_path / "killed", ITNET_TOY_FAULT="SIGKILL:130")
    assert killed.returncode == -9
    train(joint, tmp_path / "whole")
    train(joint, tmp_path / "killed", resume=True)
    for name in ("best", "last"):
        assert_same_weights(tmp_path / "whole" / name, tmp_path / "killed" / name)


def test_a_part_for_a_task_that_is_not_there_is_refused(joint: dict[str, Any], tmp_path: Path) -> None:
    joint["train"]["tasks"]["image"] = {}
    with pytest.raises(
        ConfigError, match=r"train\.tasks\.image: found options for a task of image; expected one of signal, echo"
    ):
        train(joint, tmp_path / "run")


def test_what_is_planned_is_told_by_task(joint: dict[str, Any]) -> None:
    sizes = ModelRun.from_sections(joint).check()
    assert sizes["signal/train"] == 96
    assert sizes["echo/validation"] == 40
