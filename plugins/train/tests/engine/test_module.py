from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import Field, Nodes, Sampler, Task
from itnet_registry import create, create_model
from itnet_train import TrainConfig
from itnet_train.console import quiet_lightning
from itnet_train.data.datamodule import TaskData
from itnet_train.engine.module import TaskModule
from itnet_train.engine.trainer import create_trainer
from itnet_train.errors import NonFiniteError


@pytest.fixture
def task() -> Task:
    task: Task = create("task", "tones")
    return task


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return create_model(width=4, depth=1, encoder="signal", kernel={"heads": 2}, task="tones")


def fit(model: Any, task: Task, config: TrainConfig, root: Path) -> TaskModule:
    module = TaskModule(model, {"signal": task}, config)
    with quiet_lightning():
        create_trainer(config, root=root).fit(module, datamodule=TaskData({"signal": task}, config))
    return module


def test_a_gradient_that_is_not_finite_leaves_the_weights(
    model: Any, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """√ has an infinite slope at 0, so the loss is finite and its gradient is not."""

    def loss(self: Task, prediction: Tensor, targets: Tensor) -> Tensor:
        return (prediction - prediction.detach()).sum().abs().sqrt()

    monkeypatch.setattr(type(task), "loss", loss)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(NonFiniteError, match=r"the gradient norm of epoch 1, batch 1 \(step 1\)"):
        fit(model, task, TrainConfig(accelerator="cpu", clip=None), tmp_path)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_clipping_bounds_the_gradient(model: Any, task: Task, tmp_path: Path) -> None:
    clip = 1e-3
    norms: list[float] = []
    module = TaskModule(model, {"signal": task}, TrainConfig(accelerator="cpu", epochs=1, clip=clip))

    def after_clipping(*_: Any) -> None:
        norms.append(float(torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])))

    with quiet_lightning():
        trainer = create_trainer(module.settings, root=tmp_path)
        optimizer_step = type(module).optimizer_step

        def step(self: TaskModule, *args: Any, **kwargs: Any) -> None:
            optimizer_step(self, *args, **kwargs)
            after_clipping()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TaskModule, "optimizer_step", step)
            trainer.fit(module, datamodule=TaskData({"signal": task}, module.settings))
    assert norms
    assert max(norms) == pytest.approx(clip, rel=1e-3)


def test_scores_do_not_depend_on_the_batch_size(model: Any, task: Task) -> None:
    scores = []
    for batch_size in (7, 96):
        config = TrainConfig(accelerator="cpu", batch_size=batch_size)
        module = TaskModule(model, {"signal": task}, config)
        with quiet_lightning():
            create_trainer(config).test(module, datamodule=TaskData({"signal": task}, config), verbose=False)
        scores.append(module.scores)
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)
    assert scores[0].keys() == {"loss", "accuracy"}


class Proposal(Sampler):
    """Nodes with an auxiliary loss of one parameter."""

    def __init__(self) -> None:
        super().__init__(4)
        self.slope = torch.nn.Parameter(torch.zeros(()))

    def forward(self, query: Field, key: Field) -> Nodes:
        indices = torch.multinomial(key.weights, 6, replacement=True)
        weights = torch.full_like(key.weights[:, :6], 1 / 6)
        return Nodes(indices, weights, loss=lambda problem: (self.slope - 1).square())


def test_what_parts_of_the_model_want_minimised_is_learned_beside_the_task(
    model: Any, task: Task, tmp_path: Path
) -> None:
    """A proposal learns, though no gradient of the task's loss reaches it; and that loss is told without its own."""
    proposal = model.trunk.blocks[0].operator.sampler = Proposal()
    module = fit(model, task, TrainConfig(accelerator="cpu", epochs=1), tmp_path)
    assert proposal.slope != 0
    logged = module.trainer.callback_metrics
    assert {"train/loss", "train/auxiliary_loss"} <= logged.keys()
    assert 0 < logged["train/loss"] < 1.5  # of two classes
