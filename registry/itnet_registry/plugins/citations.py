"""Citations of declarations: BibTeX entries of the file `citations.bib` next to a plugin's module."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import files

from itnet_registry.errors import PluginError, os_errors_as
from itnet_registry.plugins.discovery import Source
from itnet_registry.plugins.plugin_code import plugin_code

FILE = "citations.bib"

_ENTRY = re.compile(r"@\w+\s*\{\s*([^\s,{}]+)\s*,")


def cited(source: Source, keys: Iterable[str]) -> dict[str, str]:
    """Return entries of a plugin's `citations.bib` by key.

    Raises:
        PluginError: the file cannot be read, or has no such entry.
    """
    keys = tuple(keys)
    known = _entries(source) if keys else {}
    for key in keys:
        if key not in known:
            place = f"{FILE} of {source.title}"
            raise PluginError(place, found=f"no entry {key!r}", expected="every entry that a declaration names")
    return {key: known[key] for key in keys}


def entries(text: str, place: str = FILE) -> dict[str, str]:
    """Return the entries of a BibTeX file by key.

    Example:
        >>> entries("@misc{dhor2026itnet, title = {{ITNet}}, eprint = {2606.19538}}")
        {'dhor2026itnet': '@misc{dhor2026itnet, title = {{ITNet}}, eprint = {2606.19538}}'}

    Raises:
        PluginError: an entry has more opening than closing braces, or the key of another one.
    """
    found: dict[str, str] = {}
    match = _ENTRY.search(text)
    while match is not None:
        key, end = match[1], _closing(text, match.start())
        if end is None:
            raise PluginError(f"{place}: {key}", found="a brace that is not closed", expected="balanced braces")
        if key in found:
            raise PluginError(f"{place}: {key}", found="two entries of this key", expected="one")
        found[key] = text[match.start() : end]
        match = _ENTRY.search(text, end)
    return found


def _closing(text: str, start: int) -> int | None:
    """Return the end of the braces that open after `start`."""
    depth = 0
    for brace in re.finditer(r"[{}]", text[start:]):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return start + brace.end()
    return None


def _entries(source: Source) -> dict[str, str]:
    place = f"{FILE} of {source.title}"
    with plugin_code(source, f"reading {FILE} of"), os_errors_as(PluginError, place):
        text = files(source.module.rpartition(".")[0] or source.module).joinpath(FILE).read_text(encoding="utf-8")
    return entries(text, place)
