"""Shares over training, through the section `explain` of `itnet train`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import ConfigError
from itnet_explain.training import share_scores
from itnet_registry import create, create_model, default_registry
from itnet_train import train

ENCODER = {"name": "patch", "patch_size": 4}


def sections(**explain: Any) -> dict[str, Any]:
    task = {"name": "digits", "training_samples": 200}
    model = {"preset": "itnet-nano", "depth": 1, "encoder": ENCODER, "task": task}
    return {"model": model, "train": {"epochs": 2, "accelerator": "cpu"}, "explain": explain}


def test_the_shares_are_columns_of_the_history_and_scalars(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    train(sections(samples=4, every=2), tmp_path / "run")
    first, second = csv.DictReader((tmp_path / "run/history.csv").open())
    names = [f"explain/blocks.0/{part}" for part in ("constant", "position", "content", "interaction")]
    assert [first[name] for name in names] == [""] * 4
    assert sum(float(second[name]) for name in names) == pytest.approx(1.0)
    events = EventAccumulator(str(tmp_path / "run/tensorboard"))
    events.Reload()
    assert set(names) <= set(events.Tags()["scalars"])
    assert events.Scalars(names[1])[-1].value == pytest.approx(float(second[names[1]]), rel=1e-5)


def test_explaining_does_not_change_training(tmp_path: Path) -> None:
    rows = []
    for name, given in (("with", sections(samples=4)), ("without", {**sections(), "explain": None})):
        given = {key: value for key, value in given.items() if value is not None}
        train(given, tmp_path / name)
        rows.append([row["train_loss"] for row in csv.DictReader((tmp_path / name / "history.csv").open())])
    assert rows[0] == rows[1]


def test_each_head_may_have_scalars_of_its_own() -> None:
    model = create_model("itnet-nano", depth=1, encoder=ENCODER, task="digits")
    task = create("task", "digits")
    validation = {"image": task.dataset("validation")}
    means, heads = (share_scores(model, {"image": task}, validation, samples=3, heads=kind) for kind in (False, True))
    assert len(means) == 4
    of_heads = torch.tensor([heads[f"blocks.0/{head}/position"] for head in range(4)])
    assert means["blocks.0/position"] == pytest.approx(float(of_heads.mean()))


def test_an_unknown_field_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"explain\.evry"):
        train(sections(evry=1), tmp_path / "run")
    assert "explain" in {name for command in default_registry().commands() for name in command.spec.sections}
