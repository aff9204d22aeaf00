"""The registry of this process, behind the package's functions."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from itnet_core.plugin.specs import Kind
from itnet_registry.components import Component
from itnet_registry.plugin_code import LOADING
from itnet_registry.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from itnet_core import ITNetModel


@cache
def _registry() -> Registry:
    return Registry()


def default_registry() -> Registry:
    """Return the registry that the functions below use, made on first use from the environment as it is then."""
    with LOADING:
        return _registry()


def available(kind: Kind | None = None) -> list[str]:
    """Return the canonical ids of the installed components of a kind, or of all. Imports no torch."""
    return default_registry().available(kind)


def component(kind: Kind, name: str) -> Component:
    """Return the component that a bare or canonical name stands for; see `Registry.component`."""
    return default_registry().component(kind, name)


def create(kind: Kind, /, name: str, **config: Any) -> Any:
    """Return a new component; see `Registry.create`."""
    return default_registry().create(kind, name, **config)


def create_model(preset: str | None = None, **overrides: Any) -> ITNetModel:
    """Return a new model; see `itnet_registry.assemble.create_model`."""
    return default_registry().create_model(preset, **overrides)


def save_model(model: ITNetModel, path: str | PathLike[str]) -> None:
    """Write a checkpoint; see `itnet_registry.checkpoint.save_model`."""
    default_registry().save_model(model, path)


def load_model(path: str | PathLike[str]) -> ITNetModel:
    """Read a checkpoint; see `itnet_registry.checkpoint.load_model`."""
    return default_registry().load_model(path)


def use_sampler(model: ITNetModel, sampler: str | Mapping[str, Any]) -> None:
    """Have a model integrate by another sampler, in place; see `itnet_registry.samplers.use_sampler`."""
    default_registry().use_sampler(model, sampler)


def replace_head(model: ITNetModel, head: str | Mapping[str, Any], modality: str | None = None) -> None:
    """Give a model another head, in place; see `itnet_registry.replacing.replace_head`."""
    default_registry().replace_head(model, head, modality)


def replace_operator(model: ITNetModel, **parts: str | Mapping[str, Any] | None) -> None:
    """Give a model's blocks another kernel, sampler or evaluator; see `itnet_registry.replacing.replace_operator`."""
    default_registry().replace_operator(model, **parts)
