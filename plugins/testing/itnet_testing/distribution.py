"""The kit over all that a distribution declares, without test files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from itnet_core import ConfigError, ITNetError
from itnet_core.plugin.specs import Kind
from itnet_registry import Registry
from itnet_registry.plugins.components import Component
from itnet_registry.plugins.names import canonical
from itnet_testing.conformance import Conformance, Outcome
from itnet_testing.encoders import EncoderConformance
from itnet_testing.evaluators import EvaluatorConformance
from itnet_testing.heads import HeadConformance
from itnet_testing.kernels import KernelConformance
from itnet_testing.samplers import SamplerConformance
from itnet_testing.tasks import TaskConformance

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
        ConfigError: a plugin of this distribution does not load, or it has no component that `options` names.
    """
    options = {} if options is None else options
    registry = Registry()
    components = [component for plugin in registry.plugins(distribution) for component in plugin.components]
    told = [str(fault) for fault in registry.faults if fault.distribution == canonical(f"{distribution}/")[:-1]]
    if told or not components:
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
        unfit = _unfit(component, own)
        case = type(component.name, (CASES[component.kind],), attributes)
        yield component, case().run() if unfit is None else [unfit]


def _unfit(component: Component, options: Mapping[str, Any] | None) -> Outcome | None:
    """Return the failure of a component that would fail every check: it does not load, or needs options."""
    try:
        cls = component.load()
    except ITNetError as error:
        return Outcome("loads", "failed", str(error))
    try:
        cls.configure(None, cls.example_options if options is None else options)
    except ConfigError as error:
        hint = "It has no example_options; give it some: --options FILE" if options is None else ""
        return Outcome("options", "failed", f"{error} {hint}".rstrip())
    except KeyboardInterrupt:
        raise
    except BaseException:  # the checks will tell
        return None
    return None
