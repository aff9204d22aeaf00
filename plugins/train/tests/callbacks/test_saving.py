from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from itnet_train import evaluate

Rows = Callable[[Path], list[dict[str, float]]]


def test_the_directory_holds_the_run_and_nothing_else(learned: Path) -> None:
    names = {path.relative_to(learned).as_posix() for path in learned.rglob("*") if "tensorboard" not in path.parts}
    checkpoints = {f"{name}/{file}" for name in ("best", "last") for file in ("itnet.json", "model.safetensors")}
    others = {"config.yaml", "metrics.json", "history.csv", "resume/state.ckpt", "run.lock", "run.json"}
    assert names - {"best", "last", "resume", "tensorboard"} == checkpoints | others
    assert any("tfevents" in path.name for path in (learned / "tensorboard").iterdir())


def test_nothing_is_stored_that_could_run_code(learned: Path) -> None:
    for name in ("best", "last"):
        with safe_open(learned / name / "model.safetensors", framework="pt") as file:
            assert list(file.keys())
    state = torch.load(learned / "resume/state.ckpt", weights_only=True)
    assert {"state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks"} <= state.keys()


def test_best_is_the_epoch_that_the_history_says(learned: Path, rows: Rows) -> None:
    accuracy = [row["validation_accuracy"] for row in rows(learned)]
    assert evaluate(learned / "best", "validation")["accuracy"] == pytest.approx(max(accuracy))
    assert evaluate(learned / "last", "validation")["accuracy"] == pytest.approx(accuracy[-1])
