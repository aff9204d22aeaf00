"""The kit over all that a distribution declares, without test files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from itnet_core.component import Kind
from itnet_core.errors import ConfigError
from itnet_core.testing.conformance import Conformance, Outcome
from itnet_core.testing.encoders import EncoderConformance
from itnet_core.testing.evaluators import EvaluatorConformance
from itnet_core.testing.heads import HeadConformance
from itnet_core.testing.kernels import KernelConformance
from itnet_core.testing.samplers import SamplerConformance
from itnet_core.testing.tasks import TaskConformance
from itnet_registry import Registry
from itnet_registry.components import Component

CASES: Mapping[Kind, type[Conformance]] = {
    "encoder": EncoderConformance,
    "kernel": KernelConformance,
    "sampler": SamplerConformance,
    "evaluator": EvaluatorConformance,
    "head": HeadConformance,
    "task": TaskConformance,
}
"""The kit's class for each kind of component."""


def run_distribution(
    distribution: str, options: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[tuple[Component, list[Outcome]]]:
    """Yield each component of a distribution with what came of its checks.

    Args:
        distribution: its name, as pip knows it.
        options: of components by their names, `{"glue/sst-2": {"root": "glue"}}`, where their own `example_options` do
            not suffice: tasks, for one, need data.

    Raises:
        ConfigError: no plugin of this distribution loads, or it has no component that `options` names.
    """
    options = {} if options is None else options
    registry = Registry()
    components = [component for plugin in registry.plugins(distribution) for component in plugin.components]
    if not components:
        told = [str(fault) for fault in registry.faults if fault.distribution == distribution]
        raise ConfigError(
            "distribution",
            found=f"{distribution!r}, {told[0] if told else 'which brings no component, or is not installed'}",
            expected=f"one of {', '.join(sorted({c.source.distribution for c in registry.components()}))}",
        )
    unknown = sorted(options.keys() - {component.name for component in components})
    if unknown:
        names = ", ".join(component.name for component in components)
        raise ConfigError("options", found=repr(unknown[0]), expected=f"names of its components: {names}")
    for component in components:
        own = options.get(component.name)
        attributes = {"component": component.id, "options": own, "__module__": __name__}
        missing = None if own is not None else _missing(component)
        yield (
            component,
            type(component.name, (CASES[component.kind],), attributes)().run() if missing is None else [missing],
        )


def _missing(component: Component) -> Outcome | None:
    """Return the failure of a component that needs options which nobody gave; it would fail every check."""
    try:
        cls = component.load()
        cls.configure(None, cls.example_options)
    except ConfigError as error:
        return Outcome("options", "failed", f"{error} It has no example_options; give it some: --options FILE")
    except Exception:  # the checks will tell
        return None
    return None
