"""The installed evaluators that `auto` chooses from."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from itnet_core import AutoEvaluator, Evaluator
from itnet_registry.errors import one_line
from itnet_registry.plugins.components import Component
from itnet_registry.plugins.fused_sums import GAIN, NATIVE
from itnet_registry.plugins.plugin_code import LOADING
from itnet_registry.plugins.registry import PluginRegistry
from itnet_registry.plugins.requirements import pip_install

logger = logging.getLogger(__name__)


def evaluators_of(registry: PluginRegistry) -> tuple[Evaluator, ...]:
    """Return the evaluators that `auto` chooses from, in order of preference; the same ones on every call.

    Raises:
        PluginError: a plugin does not load, and the registry is strict.
    """
    return tuple(evaluator for _, evaluator in ranked_evaluators(registry))


def ranked_evaluators(registry: PluginRegistry) -> tuple[tuple[Component, Evaluator], ...]:
    """Return the evaluators that have a rank and no required options, lowest rank first, with their components.

    Evaluators of equal rank are sorted by id. One that cannot be imported or built is left out and logged, so that it
    cannot break a model that does not name it.
    """
    with LOADING:
        return _ranked(registry)


@lru_cache(maxsize=8)
def _ranked(registry: PluginRegistry) -> tuple[tuple[Component, Evaluator], ...]:
    ranked: list[tuple[int, Component, Evaluator]] = []
    for component in registry.components("evaluator"):
        try:
            cls: type[Evaluator] = component.load()
            optional = not any(field.is_required() for field in cls.Config.model_fields.values())
            if cls.rank is not None and optional:
                ranked.append((cls.rank, component, cls()))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too, as where plugins are loaded
            logger.warning("auto leaves out %s: %s", component.id, one_line(error))
    return tuple((component, evaluator) for _, component, evaluator in sorted(ranked, key=lambda entry: entry[0]))


def fused_evaluator_hint(registry: PluginRegistry) -> str:
    """Return how to get the evaluator that sums the MLP kernel on CPUs several times faster, or "" if it is there."""
    for component, evaluator in ranked_evaluators(registry):
        if component.source.distribution == NATIVE:
            reason = evaluator.unavailable()
            return f"{NATIVE} cannot be used: {reason}. {GAIN}." if reason else ""
    return f"{NATIVE} is not installed. {GAIN}: {pip_install([NATIVE])}."


def evaluator_arguments(registry: PluginRegistry, cls: type) -> dict[str, Any]:
    """Return the arguments that give an `AutoEvaluator` the registry's evaluators; none for another class."""
    return {"evaluators": evaluators_of(registry)} if issubclass(cls, AutoEvaluator) else {}
