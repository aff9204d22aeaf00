from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from itnet_core import ConfigError
from itnet_registry.errors import ComponentError
from itnet_train import train
from itnet_train.commands.sections import read_sections


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("task: tones\nmodel: {encoder: signal}\ntrain: {epochs: 3}\n")
    return path


def test_task_stands_for_the_models_task_in_the_file_and_in_overrides(path: Path) -> None:
    sections = read_sections(path, ["task.size=5", "train.seed=1"])
    assert sections == {
        "model": {"encoder": "signal", "task": {"name": "tones", "size": 5}},
        "train": {"epochs": 3, "seed": 1},
    }
    assert read_sections(path, ["task=other"])["model"]["task"] == "other"


def test_a_section_that_nothing_reads_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks: found a section that no command reads.*Did you mean 'task'\?"):
        read_sections(path, ["tasks.size=5"])


def test_a_section_scores_each_epoch_and_its_callbacks_go_on_where_they_were(
    sections: dict[str, Any], tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    sections["probe"] = {"file": str(seen)}
    sections["train"] |= {"epochs": 2, "save_every_steps": 1, "max_minutes": 1e-9}
    steps = []
    while train(sections, tmp_path / "run", resume=True)["stopped"] == "max_minutes":
        steps.append(int(seen.read_text()))
    assert steps == list(range(1, len(steps) + 1))
    assert int(seen.read_text()) == len(steps) + 1 == 12  # 2 epochs of 96 samples in batches of 16
    assert "probe/epoch" in (tmp_path / "run/history.csv").read_text().splitlines()[0]


def test_what_is_no_callback_is_refused_before_training(sections: dict[str, Any], tmp_path: Path) -> None:
    sections["probe"] = {"file": str(tmp_path / "seen"), "broken": True}
    with pytest.raises(ComponentError, match="the callbacks of the section probe: found ProbeConfig"):
        train(sections, tmp_path / "run")
    assert not (tmp_path / "run").exists()
