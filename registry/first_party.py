"""Write the table of the components, presets, commands, sections and models of the project's distributions.

Run `python registry/first_party.py`, or with `--check` to compare the table with the code.

The registry reads the table to name a distribution that is not installed. Run this after adding, renaming or removing
a component, a preset, a command or a section of a configuration file; all distributions of the repository must be
installed.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

from itnet_core.plugin.specs import KINDS
from itnet_registry import Registry, Settings, installed_models

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "registry/itnet_registry/plugins/first_party.json"


def table() -> dict[str, dict[str, list[str]]]:
    """Return the names that each distribution provides, by kind of component, preset, command, section and model."""
    registry = Registry(settings=Settings())
    provided: dict[str, dict[str, list[str]]] = {}
    for project in sorted(ROOT.glob("plugins/*/pyproject.toml")):
        distribution = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["name"]
        entries: dict[str, list[str]] = {}
        for plugin in registry.plugins(distribution):  # one, or none in a distribution of models
            entries = {kind: [c.name for c in plugin.components if c.kind == kind] for kind in KINDS}
            entries["preset"] = [preset.name for preset in plugin.presets]
            entries["command"] = [command.name for command in plugin.commands]
            entries["section"] = [name for command in plugin.commands for name in command.spec.sections]
        entries["model"] = [model.name for model in installed_models() if model.distribution == distribution]
        provided[distribution] = {kind: sorted(set(names)) for kind, names in entries.items() if names}
    return provided


if __name__ == "__main__":
    text = json.dumps(table(), indent=2) + "\n"
    if "--check" not in sys.argv:
        TABLE.write_text(text, encoding="utf-8")
    elif TABLE.read_text(encoding="utf-8") != text:
        sys.exit(f"{TABLE} is not current; run: python {Path(__file__).name}")
