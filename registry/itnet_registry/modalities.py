"""Errors for encoders and tasks that do not go together, with the combinations that do."""

from __future__ import annotations

from collections.abc import Sequence

from itnet_core import ConfigError
from itnet_core.plugin.specs import Kind
from itnet_registry.components import Component
from itnet_registry.names import shortest
from itnet_registry.registry import Registry

_KINDS: tuple[Kind, ...] = ("encoder", "task")


def missing_encoder(registry: Registry, place: str) -> ConfigError:
    """Return the error for a model without an encoder."""
    return ConfigError(f"{place}.encoder", found="nothing", expected="an encoder", hint=_possible(registry))


def mismatch(registry: Registry, place: str, task: Component, encoders: Sequence[Component]) -> ConfigError:
    """Return the error for a task of a modality that none of the encoders reads."""
    found = " and ".join(f"{encoder.id}, an encoder of {encoder.spec.modality}" for encoder in encoders)
    return ConfigError(
        place,
        found=f"{task.id}, a task of {task.spec.modality}, with {found}",
        expected="an encoder and a task of one modality",
        hint=_possible(registry),
    )


def named(registry: Registry, kind: Kind, modality: str | None) -> str:
    """Return the names of a kind's installed components of a modality, as a list in words."""
    names = shortest([c for c in registry.components(kind) if c.spec.modality == modality])
    return ", ".join(names) or "(none installed)"


def _possible(registry: Registry) -> str:
    modalities = sorted({str(c.spec.modality) for kind in _KINDS for c in registry.components(kind)})
    if not modalities:
        return "No encoder is installed: pip install itnet-image, or itnet list."
    lines = [
        f"{modality}: encoders {named(registry, 'encoder', modality)}; tasks {named(registry, 'task', modality)}"
        for modality in modalities
    ]
    return f"Possible are — {'. '.join(lines)}."
