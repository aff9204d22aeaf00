from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from itnet_train.callbacks.progress_lines import ProgressLines

TRAINER: Any = SimpleNamespace(current_epoch=0, max_epochs=3, num_training_batches=7, num_val_batches=[2, 2])


def test_there_are_lines_during_a_step_that_takes_long(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLines(seconds=0.02) as lines:
        lines.on_train_epoch_start(TRAINER, None)
        lines.on_train_batch_end(TRAINER, None, {"loss": torch.tensor(0.5)}, None, 2)
        time.sleep(0.3)
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) > 3
    assert shown[-1].startswith("epoch   1/3  3/7  loss 0.5000  ")
    assert shown[-1].endswith(" left")


def test_the_phases_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLines(seconds=0.02) as lines:
        time.sleep(0.1)
        lines.on_validation_start(TRAINER, None)
        time.sleep(0.1)
    shown = capsys.readouterr().err
    assert shown.startswith("preparation  ")
    assert "validation  0/4  " in shown


def test_a_hint_comes_once(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLines(lambda: "install it", seconds=0.02):
        time.sleep(0.3)
    assert capsys.readouterr().err.count("hint: install it\n") == 1


def test_a_short_run_has_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLines(lambda: "install it"):
        pass
    assert capsys.readouterr().err == ""
