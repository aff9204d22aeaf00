"""Replacing a model's sampler: trained over some of the points, it may be used over all, or over fewer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from itnet_core import ComponentRef as CompleteReference
from itnet_core import IntegralOperator, ITNetModel
from itnet_core.plugin.config import parse
from itnet_registry.complete import at, built
from itnet_registry.layers import over
from itnet_registry.model_config import ComponentRef
from itnet_registry.registry import Registry
from itnet_registry.replacing import keep


def use_sampler(registry: Registry, model: ITNetModel, sampler: str | Mapping[str, Any]) -> None:
    """Have all operators of a model integrate by another sampler, in place, and say so in its configuration.

    `use_sampler(registry, model, "full")`. Options of a sampler that the model has already are laid over its own, and
    what that one has learned is kept.

    Args:
        registry: where samplers are looked up.
        model: any; what else it has stays.
        sampler: a name, or a name with options.

    Raises:
        UnknownNameError, AmbiguousNameError, RequirementError, ComponentError: the sampler cannot be had.
        ConfigError: its options do not fit.
    """
    said = parse(ComponentRef, {"name": sampler} if isinstance(sampler, str) else sampler, "sampler")
    there = ComponentRef(**model.config["sampler"]) if model.config is not None else None
    reference = over(registry, "sampler", there, said, ())
    component = registry.component("sampler", reference.name or "")
    with at("sampler"):
        cls: Any = component.load()
        options = parse(cls.Config, reference.options, "sampler").model_dump(mode="json")
    for operator in model.modules():
        if isinstance(operator, IntegralOperator):
            new = built(component, partial(cls, operator.dim, **options), "sampler")
            keep(new, operator.sampler)
            operator.sampler = new.to(next(operator.parameters())).train(operator.training)
    if model.config is not None:
        complete = CompleteReference(name=component.id, **options).model_dump()
        model.config = {**model.config, "sampler": complete}
