from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from itnet_core import ConfigError, Task
from itnet_core.plugin.errors import ITNetError
from itnet_registry import create
from itnet_train import RunError, TrainConfig, train, train_module

CONFIG: dict[str, Any] = {"epochs": 3, "batch_size": 16, "learning_rate": 1e-2, "accelerator": "cpu"}


class Network(nn.Module):
    """A network with dropout and running statistics."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv1d(1, 8, 5), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.AdaptiveMaxPool1d(1), nn.Flatten()
        )
        self.linear = nn.Linear(8, 3)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        out: torch.Tensor = self.linear(self.layers(inputs["samples"].unsqueeze(1)))
        return out


class Unusual(Network):
    """A network with complex weights, weights of two names, and arguments in its state, as neuraloperator's have."""

    def __init__(self) -> None:
        super().__init__()
        self.phases = nn.Parameter(torch.ones(8, dtype=torch.complex64))
        self.same = self.linear
        self.layers.append(nn.Linear(8, 8))

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        state: dict[str, Any] = super().state_dict(*args, **options)
        state["_metadata"] = {"activation": nn.functional.gelu}
        return state

    def load_state_dict(self, state_dict: Any, *args: Any, **options: Any) -> Any:
        return super().load_state_dict({k: v for k, v in state_dict.items() if k != "_metadata"}, *args, **options)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        out: torch.Tensor = self.linear((self.layers(inputs["samples"].unsqueeze(1)) * self.phases).real)
        return out


@pytest.fixture
def task() -> Task:
    created: Task = create("task", "tones")
    return created


def test_a_module_learns_and_has_the_weights_of_the_best_epoch(
    task: Task, tmp_path: Path, rows: Callable[[Path], list[dict[str, float]]]
) -> None:
    module = Network()
    metrics = train_module(task, module, tmp_path / "run", {**CONFIG, "epochs": 8})
    assert rows(tmp_path / "run")[-1]["train_loss"] < 0.7 * rows(tmp_path / "run")[0]["train_loss"]
    best = load_file(tmp_path / "run/best/model.safetensors")
    assert all(torch.equal(best[name], value) for name, value in module.state_dict().items())
    dataset: Any = task.dataset("test")
    batch = task.collate([dataset[i] for i in range(len(dataset))])
    module.eval()
    accuracy = (module(batch.inputs).argmax(-1) == batch.targets).double().mean()
    assert metrics["test"]["accuracy"] == pytest.approx(float(accuracy))
    assert metrics["parameters"] == sum(p.numel() for p in module.parameters())
    assert metrics["versions"].keys() >= {"python", "torch", "lightning", "itnet-train"}


@pytest.mark.parametrize("network", [Network, Unusual, lambda: nn.Sequential(Unusual())])
def test_resuming_gives_the_weights_of_the_uninterrupted_run(
    network: Callable[[], nn.Module], task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = network(), network()
    train_module(task, whole, tmp_path / "whole", CONFIG)
    monkeypatch.setenv("ITNET_TOY_FAULT", "nan:168")
    with pytest.raises(ITNetError, match="the loss of epoch 2"):
        train_module(task, cut, tmp_path / "cut", TrainConfig(**CONFIG))
    monkeypatch.delenv("ITNET_TOY_FAULT")
    train_module(task, network(), tmp_path / "cut", CONFIG, resume=True)
    ended = network()
    assert train_module(task, ended, tmp_path / "cut", CONFIG, resume=True)["epochs"] == 3
    for (name, value), other in zip(whole.named_parameters(), ended.parameters(), strict=True):
        assert torch.equal(other, value), name


def test_a_run_of_something_else_is_not_resumed(task: Task, tmp_path: Path, sections: dict[str, Any]) -> None:
    train_module(task, Network(), tmp_path / "run", {**CONFIG, "epochs": 1})
    with pytest.raises(RunError, match=r"found train.learning_rate = 0.1, which was 0.01"):
        train_module(task, Network(), tmp_path / "run", {**CONFIG, "epochs": 1, "learning_rate": 0.1}, resume=True)
    with pytest.raises(RunError, match=r"module.class = .*Linear"):
        train_module(task, nn.Linear(12, 3), tmp_path / "run", {**CONFIG, "epochs": 1}, resume=True)
    with pytest.raises(RunError, match="which was None"):
        train(sections, tmp_path / "run", resume=True)


def test_a_module_that_does_not_go_with_the_task_is_refused_before_training(task: Task, tmp_path: Path) -> None:
    with pytest.raises(ITNetError, match="the first samples of signal/train"):
        train_module(task, nn.Linear(5, 3), tmp_path / "run", CONFIG)
    with pytest.raises(ConfigError, match=r"config\.epoch: found"):
        train_module(task, Network(), tmp_path / "run", {"epoch": 1})
    assert not (tmp_path / "run").exists()
