"""Configuration files: YAML or JSON without repeated keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from itnet_core import ConfigError, ITNetError
from itnet_core.plugin.errors import shown
from itnet_core.plugin.files import read_regular
from itnet_registry.config.yaml_text import line_of, read_yaml

SUFFIXES = (".yaml", ".yml", ".json")

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
    text = _text(path)
    sections = _read(path, text)
    if not isinstance(sections, dict) or not all(isinstance(name, str) for name in sections):
        hint = "Leave out the hyphen before the names of sections." if isinstance(sections, list) else ""
        expected = "sections by name, as in `model: …`"
        raise ConfigError(str(path), found=_describe(sections), expected=expected, hint=hint)
    task = sections.pop("task", None)
    for name, section in sections.items():
        if section is not None and not isinstance(section, dict):
            place = f"{path}, line {line_of(text, [name])}: {name}"
            hint = "Write it in a section, as model: {width: 64} or train: {epochs: 3}."
            hint = "Leave out the hyphens and brackets of lists." if isinstance(section, list) else hint
            raise ConfigError(place, found=_describe(section), expected="a section with fields", hint=hint)
    sections = {name: section or {} for name, section in sections.items()}
    if task is not None:
        model = sections.setdefault("model", {})
        if {"task", "tasks"} & model.keys():
            raise ConfigError(f"{path}: task", found="a task at the top and one in model", expected="one of the two")
        model["task"] = task
    return sections


@contextmanager
def in_file(path: str | PathLike[str]) -> Iterator[None]:
    """Prefix the place of every `ITNetError` in the block with a configuration file, and with the line of the place.

    Example:
        >>> _ = Path("run.yaml").write_text("model: {width: 8}\\ntrain:\\n  epochs: 0")
        >>> with in_file("run.yaml"):
        ...     raise ConfigError("train.epochs", found="0", expected="a positive integer")
        Traceback (most recent call last):
        itnet_core.plugin.errors.ConfigError: run.yaml, line 3: train.epochs: found 0; expected a positive integer.
    """
    try:
        yield
    except ITNetError as error:
        keys = error.place.partition(":")[0].split(".")
        text = _text(Path(path))
        # `task` at the top of a file is model.task.
        line = line_of(text, keys) or (line_of(text, keys[1:]) if keys[:2] == ["model", "task"] else None)
        error.place = f"{path}{f', line {line}' if line else ''}: {error.place}"
        raise


def _text(path: Path) -> str:
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(str(path), found=f"the suffix {path.suffix!r}", expected=".yaml, .yml or .json")
    try:
        return read_regular(path, MOST).decode("utf-8")
    except OSError as error:
        raise ConfigError(str(path), found=error.strerror or str(error), expected="a file that can be read") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            str(path), found=f"bytes that are not UTF-8, at {error.start}", expected="UTF-8 text"
        ) from None


def _read(path: Path, text: str) -> Any:
    suffix = path.suffix.lower()
    try:
        return read_yaml(text) if suffix != ".json" else _read_json(text)
    except (ValueError, RecursionError) as error:
        language = "JSON" if suffix == ".json" else "YAML"
        raise ConfigError(str(path), found=" ".join(str(error).split()), expected=f"valid {language}") from None


def _read_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_mapping, parse_constant=_refuse_constant)
    except json.JSONDecodeError:
        raise
    except ValueError:
        read_yaml(text.replace("\t", " "))  # JSON is YAML, whose reader tells the line
        raise


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
