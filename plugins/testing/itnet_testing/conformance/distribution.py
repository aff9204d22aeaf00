"""Run the checks of all components of a distribution without test files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from itnet_core import ConfigError, ITNetError, Kind
from itnet_registry import default_registry
from itnet_registry.plugins.components import Component
from itnet_registry.plugins.names import canonical
from itnet_testing.conformance.base import Conformance, Outcome
from itnet_testing.conformance.encoders import EncoderConformance
from itnet_testing.conformance.evaluators import EvaluatorConformance
from itnet_testing.conformance.heads import HeadConformance
from itnet_testing.conformance.kernels import KernelConformance
from itnet_testing.conformance.samplers import SamplerConformance
from itnet_testing.conformance.tasks import TaskConformance

TEST_CLASSES: Mapping[Kind, type[Conformance]] = {
    "encoder": EncoderConformance,
    "kernel": KernelConformance,
    "sampler": SamplerConformance,
    "evaluator": EvaluatorConformance,
    "head": HeadConformance,
    "task": TaskConformance,
}
"""The test class for each kind of component."""


def check_distribution(
    distribution: str, options: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[tuple[Component, list[Outcome]]]:
    """Yield each component of a distribution with the outcomes of its checks.

    Args:
        distribution: the name of the distribution, as for pip.
        options: options by component name, `{"glue/sst-2": {"root": "glue"}}`, for components whose `example_options`
            do not suffice, such as tasks that need data.

    Raises:
        ConfigError: a plugin of the distribution does not load, the distribution has no component, or `options` names
            an unknown one.
    """
    options = {} if options is None else options
    registry = default_registry()
    components = [component for plugin in registry.plugins(distribution) for component in plugin.components]
    faults = [fault for fault in registry.faults if fault.distribution == canonical(f"{distribution}/")[:-1]]
    if faults or not components:
        raise ConfigError(
            "distribution",
            found=f"{distribution!r}, {faults[0] if faults else 'which has no component or is not installed'}",
            expected=f"one of {', '.join(sorted({c.source.distribution for c in registry.components()}))}",
            hint=f"Fix {faults[0].code}." if faults else "",
        )
    unknown = sorted(options.keys() - {component.name for component in components})
    if unknown:
        names = ", ".join(component.name for component in components)
        raise ConfigError("options", found=repr(unknown[0]), expected=f"names of its components: {names}")
    for component in components:
        own = options.get(component.name)
        attributes = {"component": component.id, "options": own, "__module__": __name__}
        case = type(component.name, (TEST_CLASSES[component.kind],), attributes)
        failure = _build_failure(_developed(component), own)
        yield component, case().run() if failure is None else [failure]


def _developed(component: Component) -> Component:
    """Return the component as its authors have it, whom its errors tell what to fix."""
    return replace(component, source=replace(component.source, editable=True))


def _build_failure(component: Component, options: Mapping[str, Any] | None) -> Outcome | None:
    """Return one failure for a component that would fail every check, because it does not load or needs options."""
    try:
        cls = component.load()
    except ITNetError as error:
        return Outcome("load", "failed", str(error))
    try:
        cls.configure(None, cls.example_options if options is None else options)
    except ConfigError as error:
        hint = "It has no example_options; pass a file with --options." if options is None else ""
        return Outcome("options", "failed", f"{error} {hint}".rstrip())
    except KeyboardInterrupt:
        raise
    except BaseException:  # the checks report it
        return None
    return None
