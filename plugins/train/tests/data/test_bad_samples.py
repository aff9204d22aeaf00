from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from itnet_core import DataError, Split, Task
from itnet_registry import create, create_model
from itnet_train import TrainConfig, train
from itnet_train.console import quiet_lightning
from itnet_train.data.batches import TaskBatch, collate
from itnet_train.data.datamodule import TaskData
from itnet_train.engine.module import TaskModule
from itnet_train.engine.trainer import create_trainer


@pytest.fixture
def task() -> Task:
    return create("task", "tones", size=12)


@pytest.fixture
def model(task: Task) -> Any:
    torch.manual_seed(0)
    return create_model(width=4, depth=1, encoder="signal", kernel={"heads": 2}, task={"name": "tones", "size": 12})


@pytest.fixture
def leave_out(task: Task, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make samples of a split `None`, as tasks do with those that cannot be read."""

    def leave(split: Split, indices: Any) -> None:
        original = type(task).dataset

        def dataset(self: Any, which: Split) -> Any:
            samples = original(self, which)
            if which != split:
                return samples
            return [None if index in indices else samples[index] for index in range(len(samples))]  # type: ignore[arg-type]

        monkeypatch.setattr(type(task), "dataset", dataset)

    return leave


def test_a_batch_of_nothing_is_empty_wherever_it_goes(task: Task) -> None:
    parcel = collate(task, [None, None])
    assert parcel.empty
    assert parcel.to(torch.device("meta")).empty
    assert parcel.pin_memory().empty
    assert not collate(task, [task.dataset("test")[0]]).empty


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_run_leaves_out_batches_of_nothing(
    split: Split, leave_out: Any, sections: dict[str, Any], tmp_path: Path
) -> None:
    """The first samples too, with which a run is tried out."""
    leave_out(split, {0, 1, 5})
    sections["model"]["task"] = {"name": "tones", "size": 12}
    sections["train"] |= {"epochs": 1, "batch_size": 1}
    metrics = train(sections, tmp_path / "run")
    assert metrics["steps"] == 12
    assert 0 <= metrics["test"]["accuracy"] <= 1


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_of_nothing_else_is_refused_before_any_work(
    split: Split, leave_out: Any, sections: dict[str, Any], tmp_path: Path
) -> None:
    leave_out(split, range(12))
    sections["model"]["task"] = {"name": "tones", "size": 12}
    with pytest.raises(DataError, match=rf"dataset\('{split}'\): found 12 samples, none of which can be read"):
        train(sections, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_evaluation_of_nothing_is_refused(leave_out: Any, model: Any, task: Task) -> None:
    leave_out("test", range(12))
    config = TrainConfig(accelerator="cpu")
    with (
        pytest.raises(DataError, match=r"dataset\('test'\): found 12 samples, none of which can be read"),
        quiet_lightning(),
    ):
        create_trainer(config).test(TaskModule(model, {"signal": task}, config), TaskData({"signal": task}, config))


def test_scores_are_those_of_the_other_samples(leave_out: Any, model: Any, task: Task) -> None:
    def scores(task: Task, batch_size: int) -> dict[str, float]:
        config = TrainConfig(accelerator="cpu", batch_size=batch_size)
        module = TaskModule(model, {"signal": task}, config)
        with quiet_lightning():
            create_trainer(config).test(module, datamodule=TaskData({"signal": task}, config), verbose=False)
        return module.scores

    whole = task.dataset("test")
    others = task.collate([whole[index] for index in range(12) if index not in (3, 4, 11)])
    leave_out("test", {3, 4, 11})
    with torch.no_grad():
        loss = task.loss(model.eval()(others.inputs, "signal"), others.targets).item()
    assert scores(task, 1)["loss"] == pytest.approx(loss, rel=1e-5)


class Weights(Callback):
    """Records for each step whether its batch was empty, and whether the weights changed."""

    def __init__(self) -> None:
        self.steps: list[tuple[bool, bool]] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        self.before = [p.detach().clone() for p in module.model.parameters()]

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: TaskBatch, batch_idx: int) -> None:
        changed = any(not torch.equal(*pair) for pair in zip(self.before, module.model.parameters(), strict=True))
        self.steps.append((batch.empty, changed))


def test_a_batch_of_nothing_leaves_the_weights(leave_out: Any, model: Any, task: Task, tmp_path: Path) -> None:
    leave_out("train", {0, 1, 5})
    config, weights = TrainConfig(accelerator="cpu", batch_size=1, epochs=2, warmup=0.0), Weights()
    with quiet_lightning():
        module = TaskModule(model, {"signal": task}, config)
        trainer = create_trainer(config, callbacks=[weights], root=tmp_path)
        trainer.fit(module, datamodule=TaskData({"signal": task}, config))
    assert sum(empty for empty, _ in weights.steps) == 6
    assert all(empty != changed for empty, changed in weights.steps)


def test_on_several_devices_a_batch_of_nothing_has_gradients_of_0(
    model: Any, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others wait for them."""
    module = TaskModule(model, {"signal": task}, TrainConfig(accelerator="cpu"))
    monkeypatch.setattr(TaskModule, "trainer", SimpleNamespace(world_size=2))
    loss = module.training_step(TaskBatch("signal", None), 0)
    assert loss is not None
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    assert not any(gradient.any() for gradient in gradients)
