"""Which of a model's tasks is meant."""

from __future__ import annotations

from typing import Any

from itnet_core.errors import ConfigError
from itnet_core.model import ITNetModel
from itnet_core.task import Task
from itnet_registry import create


def task_of(model: ITNetModel, modality: str | None = None, **options: Any) -> Task:
    """Return the task of a model's configuration for a modality; of the only one by default.

    Args:
        model: an assembled model.
        modality: which of its tasks.
        options: fields of the task that are to be others than in the configuration.

    Raises:
        ConfigError: the model has no task, or several and `modality` does not say which; or an option is not one.
    """
    tasks: dict[str, dict[str, Any]] = dict((model.config or {}).get("tasks", {}))
    if not tasks:
        mend = "Write task: and a name that `itnet list` shows."
        raise ConfigError("model.task", found="no task", expected="one that says what is learned", mend=mend)
    if modality is None and len(tasks) == 1:
        [modality] = tasks
    if modality not in tasks:
        raise ConfigError(
            "model.tasks",
            found=f"tasks of {', '.join(tasks)}",
            expected=f"one of {modality}" if modality else "one task",
            mend="" if modality else "Training knows one task a run; the other commands take --modality.",
        )
    return create("task", **{**tasks[modality], **options})
