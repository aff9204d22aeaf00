"""The tasks that a model was configured with."""

from __future__ import annotations

from typing import Any

from itnet_core import ITNetModel, Task
from itnet_registry import create
from itnet_registry.build.task_references import task_reference, task_references


def create_tasks(model: ITNetModel, modality: str | None = None, **options: Any) -> dict[str, Task]:
    """Create the tasks of a model's configuration, by modality; see `task_references`.

    Raises:
        ConfigError: the model has no such task, an option is unknown, or `options` could belong to several tasks.
    """
    references = task_references(model, modality, **options)
    return {name: create("task", **reference) for name, reference in references.items()}


def create_task(model: ITNetModel, modality: str | None = None) -> Task:
    """Create the one task of a model, or that of a modality.

    Raises:
        ConfigError: as for `create_tasks`, or the model has several tasks and `modality` is `None`.
    """
    task: Task = create("task", **task_reference(model, modality))
    return task
