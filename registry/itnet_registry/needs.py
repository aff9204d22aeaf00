"""Whether a model's heads are what its tasks need, before one is trained for the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from itnet_core import ConfigError, Task


def check_heads(tasks: Mapping[str, Task], heads: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse the head that a task names where an option that the task's data fix is another one.

    Args:
        tasks: by modality.
        heads: their references in a model's complete configuration, by modality.

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
                    expected=f"{needed[option]!r}, as the task's data have it",
                    hint="Leave it out.",
                )
