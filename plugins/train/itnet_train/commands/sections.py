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
from itnet_train.commands.overrides import apply_overrides


def read_sections(path: Path, assignments: Iterable[str] = ()) -> dict[str, Any]:
    """Return the sections of a configuration file, or of a run directory, with overrides applied.

    Raises:
        ConfigError: the file cannot be read; or see `override_sections`.
    """
    return override_sections(load_config(path / "config.yaml" if path.is_dir() else path), assignments)


def override_sections(sections: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return sections with `key=value` assignments applied; `task` is short for `model.task`.

    Raises:
        ConfigError: an assignment cannot be read, or no plugin reads one of the sections.
    """
    assignments = [f"model.{text}" if re.match(r"task\b", text) else text for text in assignments]
    sections = apply_overrides(sections, assignments)
    for name in sections:
        if name not in OWN:
            section_model(default_registry(), name, name)
    return sections
