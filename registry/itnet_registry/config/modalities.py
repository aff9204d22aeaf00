"""Errors for encoders and tasks of different modalities, with the combinations that are installed."""

from __future__ import annotations

from collections.abc import Mapping

from itnet_core import ConfigError
from itnet_core.plugin.specs import ANY, Kind
from itnet_registry.plugins.components import Component
from itnet_registry.plugins.names import shortest
from itnet_registry.plugins.registry import PluginRegistry
from itnet_registry.plugins.requirements import pip_install

_KINDS: tuple[Kind, ...] = ("encoder", "task")


def missing_encoder(registry: PluginRegistry, place: str) -> ConfigError:
    """Return the error for a model without an encoder."""
    return ConfigError(f"{place}.encoder", found="nothing", expected="an encoder", hint=_combinations(registry))


def mismatch(registry: PluginRegistry, place: str, task: Component, encoders: Mapping[str, Component]) -> ConfigError:
    """Return the error for a task of a modality that no encoder of the model reads; encoders are by modality."""
    listed = " and ".join(f"{encoder.id}, an encoder of {modality}" for modality, encoder in encoders.items())
    return ConfigError(
        place,
        found=f"{task.id}, a task of {task.spec.modality}, with {listed}",
        expected="an encoder and a task of one modality",
        hint=_combinations(registry),
    )


def installed_names(registry: PluginRegistry, kind: Kind, modality: str | None) -> str:
    """Return the names of a kind's installed components of a modality, joined by commas."""
    names = shortest([c for c in registry.components(kind) if c.spec.modality in (modality, ANY)])
    return ", ".join(names) or "(none installed)"


def _combinations(registry: PluginRegistry) -> str:
    modalities = sorted({str(c.spec.modality) for kind in _KINDS for c in registry.components(kind)} - {ANY})
    if not modalities:
        return f"No encoder is installed: {pip_install(['itnet-image'])}, or itnet list."
    lines = [
        f"{modality}: encoders {installed_names(registry, 'encoder', modality)}; "
        f"tasks {installed_names(registry, 'task', modality)}"
        for modality in modalities
    ]
    return f"Installed, by modality: {'. '.join(lines)}."
