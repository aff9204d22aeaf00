"""Check of a model's heads against its tasks, before the model is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from itnet_core import ConfigError, Task


def check_heads(tasks: Mapping[str, Task], heads: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that the head named by a task has the options that the task's data fix, such as the number of classes.

    Args:
        tasks: by modality.
        heads: references of a complete configuration, by modality.

    Raises:
        ConfigError: an option differs.
    """
    for modality, task in tasks.items():
        head, needed = heads.get(modality, {}), task.head
        for option in needed.keys() - {"name"} if head.get("name") == needed["name"] else ():
            if head[option] != needed[option]:
                raise ConfigError(
                    f"model.heads.{modality}.{option}",
                    found=repr(head[option]),
                    expected=f"{needed[option]!r}, as the task's data require",
                    hint="Leave it out.",
                )
