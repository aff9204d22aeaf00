"""Configuration files: YAML or JSON without repeated keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from itnet_core import ConfigError
from itnet_core.plugin.errors import shown
from itnet_core.plugin.files import read_regular
from itnet_registry.config.yaml_text import read_yaml

MOST = 2**26
"""Largest size of a configuration file in bytes; the largest vocabularies in use have a quarter of this size."""


def load_config(path: str | PathLike[str]) -> dict[str, Any]:
    """Read the sections of a configuration file by name; a `task` at the top is moved into `model`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder, "run.yaml")
        ...     _ = file.write_text("task: digits\\nmodel: {preset: itnet-nano, encoder: patch}")
        ...     load_config(file)
        {'model': {'preset': 'itnet-nano', 'encoder': 'patch', 'task': 'digits'}}

    Raises:
        ConfigError: the file is missing, not a regular file, too large, not YAML or JSON, not a mapping of sections, or
            sets something twice.
    """
    path = Path(path)
    sections = _read(path)
    if not isinstance(sections, dict) or not all(isinstance(name, str) for name in sections):
        raise ConfigError(str(path), found=_describe(sections), expected="sections by name, as in `model: …`")
    task = sections.pop("task", None)
    for name, section in sections.items():
        if section is not None and not isinstance(section, dict):
            raise ConfigError(f"{path}: {name}", found=_describe(section), expected="a section with fields")
    sections = {name: section or {} for name, section in sections.items()}
    if task is not None:
        model = sections.setdefault("model", {})
        if {"task", "tasks"} & model.keys():
            raise ConfigError(f"{path}: task", found="a task at the top and one in model", expected="one of the two")
        model["task"] = task
    return sections


def _read(path: Path) -> Any:
    suffix = path.suffix.lower()
    if suffix not in (".yaml", ".yml", ".json"):
        raise ConfigError(str(path), found=f"the suffix {path.suffix!r}", expected=".yaml, .yml or .json")
    try:
        text = read_regular(path, MOST).decode("utf-8")
        if suffix == ".json":
            return json.loads(text, object_pairs_hook=_mapping, parse_constant=_refuse_constant)
        return read_yaml(text)
    except OSError as error:
        raise ConfigError(str(path), found=error.strerror or str(error), expected="a file that can be read") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            str(path), found=f"bytes that are not UTF-8, at {error.start}", expected="UTF-8 text"
        ) from None
    except (ValueError, RecursionError) as error:
        language = "JSON" if suffix == ".json" else "YAML"
        raise ConfigError(str(path), found=" ".join(str(error).split()), expected=f"valid {language}") from None


def _mapping(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    mapping: dict[Any, Any] = {}
    for key, value in pairs:
        if key in mapping:
            raise ValueError(f"the key {key!r} twice")
        mapping[key] = value
    return mapping


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name}, which JSON does not have")


def _describe(value: Any) -> str:
    return "nothing" if value is None else shown(value, 80)
