"""The evaluators of the installed plugins that take part in `auto`."""

from __future__ import annotations

import logging
from typing import Any

from itnet_core import AutoEvaluator, Evaluator
from itnet_registry.components import Component
from itnet_registry.registry import Registry
from itnet_registry.targets import one_line

logger = logging.getLogger(__name__)


def ranked(registry: Registry) -> list[tuple[Component, Evaluator]]:
    """Return the evaluators that have a rank, with their owners, the lowest first; of equal ranks in the ids' order.

    One that cannot be imported or built is left out and logged: a model that does not name it never fails by it.
    """
    found: list[tuple[int, Component, Evaluator]] = []
    for component in registry.components("evaluator"):
        try:
            cls: type[Evaluator] = component.load()
            if cls.rank is not None:
                found.append((cls.rank, component, cls()))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too, as where plugins are loaded
            logger.warning("auto goes without %s: %s", component.id, one_line(error))
    return [(component, evaluator) for _, component, evaluator in sorted(found, key=lambda each: each[0])]


def offered(registry: Registry, component: Any) -> Any:
    """Return a component; an evaluator `auto` with the registry's evaluators to choose from."""
    if isinstance(component, AutoEvaluator):
        return AutoEvaluator(component.config, evaluators=registry.automatic_evaluators)
    return component
