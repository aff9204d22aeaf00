from __future__ import annotations

from pathlib import Path

import pytest

from itnet_core import ConfigError
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
