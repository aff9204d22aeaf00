"""A language model that sees the next token is refused, whichever way it comes to be trained or evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from typer.testing import CliRunner

from itnet_core import ConfigError
from itnet_registry import create, create_model, save_model
from itnet_registry.cli.app import app
from itnet_text.texts import TokenBatch
from itnet_train import evaluate, train_module

REFUSAL = "model: found predictions that depend on later tokens"


@pytest.fixture
def model(tmp_path: Path) -> dict[str, Any]:
    """The configuration of a causal model of a small text."""
    (tmp_path / "book.txt").write_text("\n\n".join(f"Film number {number} is fine." for number in range(60)))
    return {
        "width": 8,
        "depth": 2,
        "encoder": {"name": "token"},
        "kernel": {"name": "mlp", "heads": 2, "hidden": 4, "support": {"causal": "t"}},
        "task": {"name": "language-model", "train": str(tmp_path / "book.txt"), "length": 16},
    }


@pytest.mark.parametrize("command", [["validate"], ["train", "--dry-run"]])
@pytest.mark.parametrize("change", [{"kernel": {"name": "mlp"}}, {"encoder": {"name": "token", "window": 3}}])
def test_commands_refuse_a_model_that_is_not_causal(
    model: dict[str, Any], tmp_path: Path, command: list[str], change: dict[str, Any]
) -> None:
    for name, options in {"causal": {}, "other": change}.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"model": {**model, **options}}))
    accepted, refused = (CliRunner().invoke(app, [*command, str(tmp_path / f"{n}.yaml")]) for n in ("causal", "other"))
    assert accepted.exit_code == 0, accepted.output
    assert refused.exit_code == 2
    assert REFUSAL in refused.output


def test_evaluation_refuses_a_checkpoint_that_is_not_causal(model: dict[str, Any], tmp_path: Path) -> None:
    save_model(create_model(**model), tmp_path / "causal")
    assert evaluate(tmp_path / "causal")["bits"] == pytest.approx(8, abs=1)
    save_model(create_model(**{**model, "kernel": "mlp"}), tmp_path / "other")
    with pytest.raises(ConfigError, match=REFUSAL):
        evaluate(tmp_path / "other")


class Reader(nn.Module):
    """A convolution over each token and its neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.convolution = nn.Embedding(256, 4), nn.Conv1d(4, 256, 3, padding=1)

    def forward(self, inputs: TokenBatch) -> torch.Tensor:
        out: torch.Tensor = self.convolution(self.embedding(inputs.ids).transpose(1, 2)).transpose(1, 2)
        return out


def test_any_module_is_checked_before_it_is_trained(model: dict[str, Any], tmp_path: Path) -> None:
    task = create("task", **model["task"])
    with pytest.raises(ConfigError, match=REFUSAL):
        train_module(task, Reader(), tmp_path / "run", {"epochs": 1, "accelerator": "cpu"})
