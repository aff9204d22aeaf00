"""What holds for every plugin of the project: declarations are true, light and documented, presets make models."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from itnet_core.plugin.specs import ANY
from itnet_registry import Registry
from itnet_registry.plugins.components import Component
from itnet_registry.plugins.declarations import Preset
from itnet_registry.plugins.first_party import provider

ROOT = Path(__file__).parents[2]
OURS = {
    f"itnet-{path.parent.name.replace('_', '-')}": path
    for path in sorted(ROOT.glob("plugins/*/README.md"))
    if "itnet.plugins" in path.with_name("pyproject.toml").read_text()  # itnet-zoo has models alone
}
REGISTRY = Registry()
COMPONENTS = [c for c in REGISTRY.components() if c.source.distribution in OURS]
PRESETS = [p for p in REGISTRY.presets() if p.source.distribution in OURS]
ENTRIES = [e for e in entry_points(group="itnet.plugins") if e.dist is not None and e.dist.name in OURS]


def test_every_plugin_of_the_repository_is_installed_and_loads() -> None:
    assert {entry.dist.name for entry in ENTRIES if entry.dist} == set(OURS)
    assert {plugin.source.distribution for plugin in REGISTRY.plugins()} >= set(OURS)
    assert REGISTRY.faults == ()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.value)
def test_declarations_import_nothing_heavy(entry: EntryPoint) -> None:
    heavy = "{'torch', 'numpy', 'PIL', 'lightning'}"
    code = f"import sys, {entry.value}; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: f"{c.kind}-{c.id}")
def test_a_component_is_what_its_declaration_says(component: Component) -> None:
    cls = component.load()
    assert cls.__doc__
    assert cls.Config.__doc__ or all(field.description for field in cls.Config.model_fields.values())
    assert import_module(cls.__module__).__doc__
    assert component.spec.summary


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: f"{c.kind}-{c.id}")
def test_a_component_is_documented_and_known_where_it_is_not_installed(component: Component) -> None:
    readme = OURS[component.source.distribution].read_text()
    assert f"`{component.name}`" in readme
    assert provider(component.kind, component.name) == component.source.distribution


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.id)
def test_a_preset_is_documented_and_makes_a_model(preset: Preset) -> None:
    assert f"`{preset.name}`" in OURS[preset.source.distribution].read_text()
    config = {"depth": 1} if "nano" not in preset.name else {}
    model = REGISTRY.create_model(preset.id, heads={}, **config)
    assert model.config is not None
    assert len(model.encoders) == 1


def test_every_modality_has_a_preset() -> None:
    modalities = {str(c.spec.modality) for c in COMPONENTS if c.kind == "encoder"} - {ANY}
    made = {m for p in PRESETS for m in REGISTRY.create_model(p.id, heads={}, depth=1).encoders}
    assert made == modalities


def test_presets_say_their_parts_in_full() -> None:
    """A bare name would stand for two as soon as somebody installs another plugin that has it."""

    def names(config: object) -> list[str]:
        if not isinstance(config, dict):
            return []
        own = [value for key, value in config.items() if key in ("name", "preset")]
        return [*own, *(name for value in config.values() for name in names(value))]

    for preset in REGISTRY.presets():
        assert all("/" in name for name in names(dict(preset.spec.config))), preset.id
