from __future__ import annotations

import csv
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch

from itnet_registry import create, create_model
from itnet_train import TrainConfig
from itnet_train.callbacks.history import History
from itnet_train.engine.module import TaskModule


@pytest.fixture
def module() -> TaskModule:
    model = create_model(width=4, depth=1, encoder="signal", kernel={"heads": 2}, task="tones")
    module = TaskModule(model, {"signal": create("task", "tones")}, TrainConfig())
    module.train_loss.update(torch.tensor(2.0), 1)
    return module


def after(history: History, module: TaskModule, scores: list[float], loss: float = 1.0) -> History:
    """Go through epochs with these accuracies."""
    optimizer: Any = SimpleNamespace(param_groups=[{"lr": 0.1}])
    for score in scores:
        module.scores = {"loss": loss, "accuracy": score}
        epoch: Any = SimpleNamespace(
            current_epoch=len(history.rows), global_step=5, optimizers=[optimizer], is_global_zero=True
        )
        history.on_train_epoch_end(epoch, module)
    return history


@pytest.mark.parametrize(
    ("mode", "scores", "best"),
    [
        ("max", [0.1, 0.3, 0.2], 1),
        ("min", [0.3, 0.1, 0.2], 1),
        ("max", [0.3, 0.3], 0),  # the earlier of equals
        ("max", [math.nan, 0.1, math.nan], 1),
        ("min", [0.1, math.nan], 0),
        ("max", [math.nan, math.nan], 0),
    ],
)
def test_the_best_epoch(
    tmp_path: Path, module: TaskModule, mode: Literal["max", "min"], scores: list[float], best: int
) -> None:
    history = after(History(tmp_path / "history.csv", "accuracy", mode), module, scores)
    assert history.best == best
    assert history.epochs_since_best == len(scores) - 1 - best
    assert history.improved == (best == len(scores) - 1)


@pytest.mark.parametrize(
    ("epochs", "improved", "best"),  # of validation loss and accuracy
    [
        ([(math.nan, 0.9)], [False], 0),
        ([(math.nan, 0.9), (1.0, 0.1), (math.nan, 1.0), (1.0, 0.2)], [False, True, False, True], 3),
        ([(1.0, math.nan), (1.0, 0.1)], [False, True], 1),
        ([(math.inf, 0.1), (1.0, 0.2)], [True, True], 1),
    ],
)
def test_a_loss_that_is_not_a_number_is_of_no_best_epoch(
    tmp_path: Path, module: TaskModule, epochs: list[tuple[float, float]], improved: list[bool], best: int
) -> None:
    history, actual = History(tmp_path / "history.csv", "accuracy", "max"), []
    for loss, accuracy in epochs:
        after(history, module, [accuracy], loss=loss)
        actual.append(history.improved)
    assert actual == improved
    assert history.best == best
    assert history.has_best == any(improved)


def test_of_equal_scores_the_one_with_the_lower_loss_is_best(tmp_path: Path, module: TaskModule) -> None:
    history = after(History(tmp_path / "history.csv", "accuracy", "max"), module, [0.9, 0.9])
    history.rows[0]["validation_loss"] = 2.0
    history = after(history, module, [0.9])
    assert history.best == 2
    assert after(history, module, [0.9]).best == 2


def test_a_history_that_goes_on_replaces_the_file(tmp_path: Path, module: TaskModule) -> None:
    """What an interrupted epoch wrote is gone once the epoch is done again."""
    path = tmp_path / "history.csv"
    first = after(History(path, "accuracy", "max"), module, [0.1, 0.2])
    state = first.state_dict()
    after(first, module, [0.9])
    second = History(path, "accuracy", "max")
    second.load_state_dict(state)
    after(second, module, [0.3])
    rows = list(csv.DictReader(path.open()))
    assert [row["validation_accuracy"] for row in rows] == ["0.1", "0.2", "0.3"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert second.seconds >= state["seconds"]
