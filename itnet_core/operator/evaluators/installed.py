"""Evaluators of the installed plugins."""

from __future__ import annotations

import logging
from functools import cache
from importlib.metadata import entry_points

from itnet_core.operator.evaluators.evaluator import Evaluator

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "itnet.evaluators"
"""Entry points of functions that return the evaluators of installed plugins; the registry provides one."""


@cache
def installed_evaluators() -> tuple[Evaluator, ...]:
    """Return the evaluators of the installed plugins; none without a registry that finds them."""
    evaluators: list[Evaluator] = []
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            evaluators += entry_point.load()()
        except Exception as error:  # a broken installation must not break operators that do not use it
            logger.warning("auto leaves out %s: %s: %s", entry_point.value, type(error).__name__, error)
    return tuple(evaluators)
