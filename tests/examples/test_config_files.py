"""Validating a configuration, as a checkpoint's is, opens no file that it names, whatever the component."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from itnet_core import ConfigError
from itnet_core.plugin.config import parse
from itnet_core.plugin.specs import KINDS
from itnet_registry import Registry
from itnet_registry.config.schemas import component_schema
from itnet_registry.plugins.components import Component

_watched: list[str] = []
_touched: list[str] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched and event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(_watched[0]):
        _touched.append(f"{event} {arguments[0]}")


sys.addaudithook(_hook)


@contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """Collect what is opened or listed below a folder."""
    _touched.clear()
    _watched.append(str(folder))
    try:
        yield _touched
    finally:
        _watched.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what components look for in files."""
    tokenizer = '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}'
    files = {
        "tokenizer.json": tokenizer,
        "config.json": '{"model_type": "bert"}',
        "answers.txt": "yes",
        "table.csv": "text,label\na,b\n",
        "train/red/1.png": "",
        "open_clip_config.json": "{}",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def _components() -> list[Component]:
    registry = Registry()
    return [component for kind in KINDS for component in registry.components(kind)]


def _takes_text(field: dict[str, Any]) -> bool:
    """Return whether a field of a schema may be given a path: texts, and what is read from one."""
    forms = [field, *field.get("anyOf", [])]
    return any(form.get("type") in ("string", "object") or "$ref" in form for form in forms) and "enum" not in field


@pytest.mark.parametrize("component", _components(), ids=lambda component: f"{component.kind} {component.id}")
def test_validating_a_config_opens_no_file(component: Component, folder: Path) -> None:
    cls = component.load()
    fields = component_schema(component).get("properties", {})
    named = [name for name, field in fields.items() if _takes_text(field)]
    required = {name for name in named if cls.Config.model_fields[name].is_required()}
    paths = [folder, folder / "tokenizer.json", folder / "table.csv", f"local-dir:{folder}"]
    with watched(folder) as touched:
        for path in paths:
            for name in named:
                options = {**cls.example_options, **dict.fromkeys({name, *required}, str(path))}
                options = {key: value for key, value in options.items() if key in fields}
                try:
                    parse(cls.Config, options, component.id)
                except ConfigError:
                    continue
    assert touched == []


def test_completing_a_config_reads_the_same_files(folder: Path) -> None:
    """So that the test above would see it."""
    registry = Registry()
    with watched(folder) as touched:
        encoder = registry.component("encoder", "itnet-text/token").load()
        parse(encoder.Config, {"tokenizer": str(folder)}, "token").completed()
        task = registry.component("task", "itnet-image/image-folder").load()
        parse(task.Config, {"root": str(folder)}, "image-folder").completed()
    assert {item.split()[0] for item in touched} == {"open", "os.scandir"}
