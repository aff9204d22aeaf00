"""Training that starts from a checkpoint, with frozen parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from itnet_core import ConfigError
from itnet_registry import CheckpointError, create, create_model, load_weights, save_model
from itnet_train import RunError, train, train_module
from itnet_train.engine.model_run import ModelRun
from itnet_train.engine.module import TaskModule
from itnet_train.engine.optimizer import parameter_groups

Weights = Callable[[Path], dict[str, torch.Tensor]]
Same = Callable[[Path, Path], None]
FROZEN = ("encoders.", "trunk.blocks.0.")


@pytest.fixture
def sections(sections: dict[str, Any]) -> dict[str, Any]:
    """Two blocks with batch norms."""
    sections["model"] |= {"depth": 2, "norm": "batch"}
    sections["train"]["epochs"] = 2
    return sections


@pytest.fixture
def start(sections: dict[str, Any], tmp_path: Path) -> Path:
    """A checkpoint of a model of the same structure, but for its head."""
    torch.manual_seed(7)
    model = create_model(**{**sections["model"], "head": {"name": "classify", "classes": 2}})
    save_model(model, tmp_path / "start")
    return tmp_path / "start"


@pytest.fixture
def tuned(sections: dict[str, Any], start: Path) -> dict[str, Any]:
    sections["train"] |= {"init": {"checkpoint": str(start), "head": "new"}, "freeze": ["encoder", "trunk.0"]}
    return sections


def test_frozen_parts_stay_those_of_the_checkpoint_and_the_others_learn(
    tuned: dict[str, Any], start: Path, tmp_path: Path, weights: Weights
) -> None:
    metrics = train(tuned, tmp_path / "run")
    before, after = weights(start), weights(tmp_path / "run/last")
    parameters = dict(ModelRun.from_sections(tuned).model.named_parameters())
    for name, tensor in after.items():
        if name.startswith(FROZEN):
            assert torch.equal(before[name], tensor), name
        elif name in parameters:
            assert before[name].shape != tensor.shape or not torch.equal(before[name], tensor), name
    trained = sum(parameter.numel() for name, parameter in parameters.items() if not name.startswith(FROZEN))
    assert metrics["trained_parameters"] == trained < metrics["parameters"]


def test_the_first_weights_are_those_of_the_checkpoint(sections: dict[str, Any], start: Path) -> None:
    """A new head has the weights of a run without `init`."""
    fresh = ModelRun.from_sections(sections).model.state_dict()
    sections["train"] |= {"init": {"checkpoint": str(start), "head": "new"}}
    run = ModelRun.from_sections(sections)
    run.prepare()
    stored = create_model(**{**sections["model"], "head": {"name": "classify", "classes": 2}})
    load_weights(stored, start)
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor, (fresh if name.startswith("heads.") else stored.state_dict())[name]), name


def test_frozen_parameters_are_not_decayed_and_their_norms_stay_in_evaluation_mode(tuned: dict[str, Any]) -> None:
    run = ModelRun.from_sections(tuned)
    run.prepare()
    module = TaskModule(run.model, run.tasks, run.config).eval().train()
    trained = {id(parameter) for group in parameter_groups(run.model, run.config) for parameter in group["params"]}
    for name, parameter in run.model.named_parameters():
        assert (id(parameter) in trained) != name.startswith(FROZEN), name
    assert module.training
    for name, part in run.model.named_modules():
        if isinstance(part, nn.BatchNorm1d):
            assert part.training != name.startswith(FROZEN), name


def test_the_scales_of_a_checkpoint_are_kept(
    tuned: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelRun, "initialize_scales", lambda run: pytest.fail("the scales were fitted again"))
    train(tuned, tmp_path / "run")


def test_a_run_that_is_cut_off_resumes_exactly_without_the_checkpoint(
    tuned: dict[str, Any], start: Path, tmp_path: Path, assert_same_weights: Same
) -> None:
    train(tuned, tmp_path / "whole")
    for _ in range(3):
        train({**tuned, "train": {**tuned["train"], "max_minutes": 1e-9}}, tmp_path / "cut", resume=True)
    start.rename(tmp_path / "elsewhere")
    train(tuned, tmp_path / "cut", resume=True)
    for checkpoint in ("best", "last"):
        assert_same_weights(tmp_path / "whole" / checkpoint, tmp_path / "cut" / checkpoint)


def test_another_checkpoint_or_frozen_part_is_another_run(tuned: dict[str, Any], tmp_path: Path) -> None:
    train({**tuned, "train": {**tuned["train"], "max_minutes": 1e-9}}, tmp_path / "run")
    tuned["train"]["freeze"] = ["encoder"]
    with pytest.raises(RunError, match="train.freeze"):
        train(tuned, tmp_path / "run", resume=True)


def test_a_run_from_before_these_fields_is_resumed(sections: dict[str, Any], tmp_path: Path) -> None:
    train({**sections, "train": {**sections["train"], "max_minutes": 1e-9}}, tmp_path / "run")
    written = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    del written["train"]["init"], written["train"]["freeze"]
    (tmp_path / "run/config.yaml").write_text(yaml.safe_dump(written))
    assert train(sections, tmp_path / "run", resume=True)["epochs"] == 2


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"init": {"checkpoint": "{start}"}}, CheckpointError, "head: new in train.init"),
        ({"init": {"checkpoint": "nowhere"}}, CheckpointError, "nowhere: found nothing"),
        ({"init": {"checkpoint": "{start}", "head": "no"}}, ConfigError, r"train.init.head: found 'no'"),
        (
            {"freeze": ["trunk.0-2"]},
            ConfigError,
            r"train.freeze.0: found 'trunk.0-2'; expected one of trunk.blocks.0-1",
        ),
        ({"freeze": ["encoder", "trunk", "head"]}, ConfigError, "train.freeze: found all parameters"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    sections: dict[str, Any], start: Path, tmp_path: Path, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    options = json.loads(json.dumps(options).replace("{start}", str(start)))
    train(sections, tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    sections["train"] |= options
    with pytest.raises(kind, match=message):
        train(sections, tmp_path / "run", overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_commands_count_the_parameters_that_are_trained(
    tuned: dict[str, Any], tmp_path: Path, itnet: Callable[..., Any]
) -> None:
    file = tmp_path / "tuned.yaml"
    file.write_text(yaml.safe_dump(tuned))
    counts = json.loads(itnet("train", file, "--dry-run", "--json").stdout)
    assert counts["trained_parameters"] < counts["parameters"]
    expected = f"{counts['parameters']:,} parameters, {counts['trained_parameters']:,} of them trained"
    assert expected in itnet("validate", file).stdout
    tuned["train"]["freeze"] = ["trunc"]
    file.write_text(yaml.safe_dump(tuned))
    result = itnet("validate", file)
    assert result.exit_code == 2
    assert "train.freeze.0: found 'trunc'; expected one of encoders, heads, trunk" in result.stderr


def test_a_module_starts_from_a_checkpoint_of_its_own_and_has_its_own_paths(tmp_path: Path) -> None:
    task = create("task", "tones")
    config = {"epochs": 1, "batch_size": 16, "accelerator": "cpu"}
    first, second = Network(), Network()
    train_module(task, first, tmp_path / "first", config)
    expected = [parameter.clone() for parameter in first.layers.parameters()]
    init = {"checkpoint": str(tmp_path / "first/best")}
    train_module(task, second, tmp_path / "second", {**config, "init": init, "freeze": ["layers.0-1"]})
    assert all(torch.equal(*pair) for pair in zip(second.layers.parameters(), expected, strict=True))
    assert not torch.equal(second.linear.weight, first.linear.weight)
    with pytest.raises(ConfigError, match=r"found 'head'; expected one of layers, linear"):
        train_module(task, Network(), tmp_path / "third", {**config, "init": {**init, "head": "new"}})


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(1, 8, 5), nn.BatchNorm1d(8), nn.AdaptiveMaxPool1d(1), nn.Flatten())
        self.linear = nn.Linear(8, 3)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        out: torch.Tensor = self.linear(self.layers(inputs["samples"].unsqueeze(1)))
        return out
