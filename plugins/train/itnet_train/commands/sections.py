"""Reading the sections of a configuration file, with overrides from the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from itnet_registry import load_config
from itnet_registry.api import default_registry
from itnet_registry.config.sections import section_model
from itnet_registry.plugins.loading import BUILT_IN_SECTIONS as OWN
from itnet_train.commands.overrides import apply_overrides, set_field


def read_sections(path: Path, assignments: Iterable[str] = ()) -> dict[str, Any]:
    """Return the sections of a configuration file, or of a run directory, with overrides applied.

    `task` is short for `model.task` in both.

    Raises:
        ConfigError: the file or an assignment cannot be read, or no plugin reads one of the sections.
    """
    sections = load_config(path / "config.yaml" if is_directory(path) else path)
    return _checked(apply_overrides(sections, map(_full, assignments)))


def is_directory(path: Path) -> bool:
    """Whether a path is a directory, such as that of a run; a name that the system refuses is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def set_fields(sections: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return sections with fields set by their dotted paths, as overrides set them.

    Raises:
        ConfigError: a path leads nowhere, or no plugin reads one of the sections.
    """
    result = dict(sections)
    for key, value in fields.items():
        result = set_field(result, _full(key), value)
    return _checked(result)


def _full(path: str) -> str:
    """Write `task` in full."""
    return f"model.{path}" if re.match(r"task\b", path) else path


def _checked(sections: dict[str, Any]) -> dict[str, Any]:
    for name in sections:
        if name not in OWN:
            section_model(default_registry(), name, name)
    return sections
