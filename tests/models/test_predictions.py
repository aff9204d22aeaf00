"""Predictions import what they need alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from itnet_registry import create_model, save_model

FOR_TRAINING = (
    *("lightning", "torchmetrics", "transformers", "matplotlib", "pandas", "torchvision"),
    *("torch._dynamo", "sympy"),
)


def imported(code: str, *arguments: str, folder: Path) -> list[str]:
    """Return those of the modules `FOR_TRAINING` that a process imports that runs some code."""
    code += f"\nimport sys; print('imported:', *(name for name in {FOR_TRAINING} if name in sys.modules))"
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    return done.stdout.partition("imported:")[2].split()


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A folder of a checkpoint, and an image."""
    torch.manual_seed(0)
    model = create_model("itnet-nano", depth=1, encoder={"name": "patch", "patch_size": 4}, task="digits")
    save_model(model, tmp_path / "digits")
    Image.new("L", (8, 8)).save(tmp_path / "7.png")
    return tmp_path


def test_predictions_of_images_import_nothing_for_training(digits: Path) -> None:
    command = "from itnet_registry.cli.app import main\ntry: main()\nexcept SystemExit as done: assert not done.code"
    assert imported(command, "predict", "digits", "7.png", "--json", folder=digits) == []
    assert imported("from itnet_registry import load; load('digits')('7.png')", folder=digits) == []


def test_no_task_imports_what_training_alone_needs(tmp_path: Path) -> None:
    code = "from itnet_registry import available, component\n"
    code += "for name in available('task'): component('task', name).load()"
    assert imported(code, folder=tmp_path) == []
