"""The sections of a run's configuration, with the command line's overrides laid over them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from itnet_core.plugin.config import parse
from itnet_registry import load_config
from itnet_registry.api import default_registry
from itnet_registry.config.sections import section_model
from itnet_registry.plugins.loading import BUILT_IN_SECTIONS as OWN
from itnet_train.config import TrainConfig
from itnet_train.overrides import override


def read_sections(path: Path, assignments: Iterable[str] = ()) -> dict[str, Any]:
    """Return the sections of a configuration file, overridden; `task` stands for `model.task` in both.

    Raises:
        ConfigError: the file, an assignment or a section cannot be read, or nothing reads the section.
    """
    assignments = [f"model.{each}" if re.match(r"task\b", each) else each for each in assignments]
    sections = override(load_config(path), assignments)
    for name in sections:
        if name not in OWN:
            section_model(default_registry(), name, name)
    return sections


def train_config(sections: Mapping[str, Any]) -> TrainConfig:
    """Return the section `train`; all defaults if there is none.

    Raises:
        ConfigError: a field is unknown or of a wrong value.
    """
    return parse(TrainConfig, sections.get("train") or {}, "train")
