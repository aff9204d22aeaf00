"""Which of a model's tasks are meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from itnet_core import ConfigError, ITNetModel, Task
from itnet_registry import create


def tasks_of(model: ITNetModel, modality: str | None = None, **options: Any) -> dict[str, Task]:
    """Return the tasks of a model's configuration, by modality: all of them by default.

    Args:
        model: an assembled model.
        modality: which of its tasks alone.
        options: fields of the one task that are to be others than in the configuration.

    Raises:
        ConfigError: the model has no task, or none of this modality; an option is not one, or there are several tasks
            that it may be of.
    """
    tasks: dict[str, dict[str, Any]] = dict((model.config or {}).get("tasks", {}))
    if not tasks:
        hint = "Write task: and a name that `itnet list` shows."
        raise ConfigError("model.task", found="no task", expected="one that says what is learned", hint=hint)
    if modality is not None and modality not in tasks:
        raise _other(tasks, modality)
    if options and modality is None and len(tasks) > 1:
        raise _other(tasks, None)
    chosen = tasks if modality is None else {modality: tasks[modality]}
    return {each: create("task", **{**reference, **options}) for each, reference in chosen.items()}


def task_of(model: ITNetModel, modality: str | None = None) -> Task:
    """Return one task; raises as `tasks_of` does, and where there are several and `modality` does not say which."""
    tasks = tasks_of(model, modality)
    if len(tasks) > 1:
        raise _other(tasks, None)
    [task] = tasks.values()
    return task


def _other(tasks: Iterable[str], modality: str | None) -> ConfigError:
    return ConfigError(
        "model.tasks",
        found=f"tasks of {', '.join(tasks)}",
        expected=f"one of {modality}" if modality else "one task",
        hint="" if modality else "Say which with --modality.",
    )
