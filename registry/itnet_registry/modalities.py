"""Errors for encoders and tasks that do not go together, with the combinations that do."""

from __future__ import annotations

from collections.abc import Sequence

from itnet_core.errors import ConfigError
from itnet_registry.components import Component
from itnet_registry.names import shortest
from itnet_registry.registry import Registry


def missing_encoder(registry: Registry, place: str) -> ConfigError:
    """Return the error for a model without an encoder."""
    return ConfigError(f"{place}.encoder", found="nothing", expected="an encoder", mend=_possible(registry))


def mismatch(registry: Registry, place: str, task: Component, encoders: Sequence[Component]) -> ConfigError:
    """Return the error for a task of a modality that none of the encoders reads."""
    found = " and ".join(f"{encoder.id}, an encoder of {encoder.spec.modality}" for encoder in encoders)
    return ConfigError(
        place,
        found=f"{task.id}, a task of {task.spec.modality}, with {found}",
        expected="an encoder and a task of one modality",
        mend=_possible(registry),
    )


def _possible(registry: Registry) -> str:
    encoders, tasks = registry.components("encoder"), registry.components("task")
    modalities = sorted({str(component.spec.modality) for component in (*encoders, *tasks)})
    if not modalities:
        return "No encoder is installed: pip install itnet-image, or itnet list."
    lines = []
    for modality in modalities:
        names = [_of(components, modality) for components in (encoders, tasks)]
        lines.append(f"{modality}: encoders {names[0]}; tasks {names[1]}")
    return f"Possible are — {'. '.join(lines)}."


def _of(components: Sequence[Component], modality: str) -> str:
    return ", ".join(shortest([c for c in components if c.spec.modality == modality])) or "(none installed)"
