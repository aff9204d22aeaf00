"""Evaluators of the installed plugins."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points

from itnet_core.operator.evaluators.evaluator import Evaluator

ENTRY_POINT_GROUP = "itnet.evaluators"
"""Entry points of functions that return the evaluators of installed plugins; the registry provides one."""


@cache
def installed_evaluators() -> tuple[Evaluator, ...]:
    """Return the evaluators of the installed plugins; none without a registry that finds them."""
    providers: list[Callable[[], tuple[Evaluator, ...]]] = [
        entry_point.load() for entry_point in entry_points(group=ENTRY_POINT_GROUP)
    ]
    return tuple(evaluator for provider in providers for evaluator in provider())
