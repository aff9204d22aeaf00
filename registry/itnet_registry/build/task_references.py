"""The names and options of the tasks that a model was configured with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from itnet_core import ConfigError, ITNetModel


def task_references(model: ITNetModel, modality: str | None = None, **options: Any) -> dict[str, dict[str, Any]]:
    """Return the name and the options of each task of a model's configuration, by modality.

    Args:
        model: a model that was built from a configuration.
        modality: return this task alone.
        options: fields of the one task that override the configuration.

    Raises:
        ConfigError: the model has no task, or none of this modality; or `options` could belong to several tasks.
    """
    tasks: dict[str, dict[str, Any]] = dict((model.config or {}).get("tasks", {}))
    if not tasks:
        hint = "Add task: and a name from `itnet list`."
        raise ConfigError("model.task", found="no task", expected="a task to train or evaluate", hint=hint)
    if modality is not None and modality not in tasks:
        raise _selection_error(tasks, modality)
    if options and modality is None and len(tasks) > 1:
        raise _selection_error(tasks, None)
    selected = tasks if modality is None else {modality: tasks[modality]}
    return {name: {**reference, **options} for name, reference in selected.items()}


def task_reference(model: ITNetModel, modality: str | None = None) -> dict[str, Any]:
    """Return the name and the options of the one task of a model, or of that of a modality.

    Raises:
        ConfigError: as for `task_references`, or the model has several tasks and `modality` is `None`.
    """
    tasks = task_references(model, modality)
    if len(tasks) > 1:
        raise _selection_error(tasks, None)
    [task] = tasks.values()
    return task


def _selection_error(tasks: Iterable[str], modality: str | None) -> ConfigError:
    return ConfigError(
        "model.tasks",
        found=f"tasks of {', '.join(tasks)}",
        expected=f"a task of {modality}" if modality else "one task",
        hint="" if modality else "Select one with --modality.",
    )
