"""Citations of the project's components: complete, used, and BibTeX that parses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from itnet_registry import Registry
from itnet_registry.checkpoints.citations import ALWAYS
from itnet_registry.plugins.citations import cited, entries
from itnet_registry.plugins.components import Component

ROOT = Path(__file__).parents[2]
FILES = sorted({*ROOT.glob("itnet_core/**/citations.bib"), *ROOT.glob("plugins/*/itnet_*/citations.bib")})
REGISTRY = Registry()
DECLARED: list[Any] = [*REGISTRY.components(), *REGISTRY.commands()]
ARXIV = re.compile(r"arXiv\s+(\d{4}\.\d{4,5})|,\s+(\d{4}\.\d{5})\b")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_a_file_has_complete_entries_and_nothing_else(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    found = entries(text)
    assert "\n\n".join(found.values()) + "\n" == text
    for key, entry in found.items():
        for fields in ("author", "title", "year|url", "eprint|doi|url|journal|booktitle|institution"):
            assert re.search(rf"^  ({fields}) = {{.+}},$", entry, re.MULTILINE), (key, fields)


def test_every_entry_is_cited() -> None:
    used = {(item.source.module.rpartition(".")[0], key) for item in DECLARED for key in item.spec.citations}
    used |= {("itnet_core.plugin", key) for key in ALWAYS}
    packages = {file: ".".join(file.parent.parts[-2 if file.parent.name == "plugin" else -1 :]) for file in FILES}
    assert {(packages[file], key) for file in FILES for key in entries(file.read_text(encoding="utf-8"))} == used


def test_an_entry_of_two_plugins_is_the_same() -> None:
    found: dict[str, str] = {}
    for file in FILES:
        for key, entry in entries(file.read_text(encoding="utf-8")).items():
            assert found.setdefault(key, entry) == entry


@pytest.mark.parametrize("component", REGISTRY.components(), ids=lambda c: f"{c.kind}-{c.id}")
def test_a_component_declares_the_papers_that_its_docstring_names(component: Component) -> None:
    entry = " ".join(cited(component.source, component.spec.citations).values())
    for numbers in ARXIV.findall(component.load().__doc__ or ""):
        assert next(filter(None, numbers)) in entry
