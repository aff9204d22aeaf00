from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from itnet_core import ConfigError
from itnet_registry.build.tasks import create_task, create_tasks

TONES = {"name": "itnet-toy/tones", "size": 5}


def model_with(**tasks: Any) -> Any:
    return SimpleNamespace(config={"tasks": tasks})


def test_the_only_task_needs_no_name() -> None:
    assert create_task(model_with(signal=TONES)).config.size == 5


def test_options_go_over_the_configuration() -> None:
    [task] = create_tasks(model_with(signal=TONES), noise=0.5).values()
    assert (task.config.size, task.config.noise) == (5, 0.5)


def test_all_tasks_are_meant_unless_a_modality_is_said() -> None:
    several = model_with(signal=TONES, echo={"name": "itnet-toy/echoes"})
    assert {modality: type(task).__name__ for modality, task in create_tasks(several).items()} == {
        "signal": "Tones",
        "echo": "Echoes",
    }
    assert list(create_tasks(several, "echo", size=3)) == ["echo"]
    with pytest.raises(ConfigError, match=r"model\.tasks: found tasks of signal, echo; expected one task"):
        create_tasks(several, size=3)


def test_of_several_tasks_one_is_chosen_by_its_modality() -> None:
    several = model_with(signal=TONES, other={"name": "itnet-toy/tones", "size": 6})
    assert create_task(several, "other").config.size == 6
    with pytest.raises(ConfigError, match=r"model\.tasks: found tasks of signal, other; expected one task. Select one"):
        create_task(several)
    with pytest.raises(ConfigError, match="found tasks of signal, other; expected a task of image"):
        create_task(several, "image")


def test_a_model_without_a_task_is_refused() -> None:
    for model in (model_with(), SimpleNamespace(config=None)):
        with pytest.raises(ConfigError, match=r"model\.task: found no task"):
            create_task(model)  # type: ignore[arg-type]
