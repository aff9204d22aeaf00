"""Components of plugins: their declarations, and their classes, which are imported on first use."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import itnet_core
from itnet_core import ComponentSpec, ITNetError
from itnet_core.plugin.specs import Kind
from itnet_registry.errors import ComponentError, RequirementError, one_line, within
from itnet_registry.plugins.code_places import definition_of, line_of
from itnet_registry.plugins.declarations import Declared
from itnet_registry.plugins.requirements import pip_install, unmet

BASES: dict[Kind, str] = {
    "encoder": "Encoder",
    "kernel": "Kernel",
    "sampler": "Sampler",
    "evaluator": "Evaluator",
    "head": "Head",
    "task": "Task",
}
"""The base class in `itnet_core` that a component of each kind extends."""

TAKES_DIM: tuple[Kind, ...] = ("encoder", "kernel", "sampler", "head")
"""Kinds of components that are built for a number of channels, `dim`."""


class Component(Declared[ComponentSpec]):
    """A component and its plugin.

    Example:
        >>> from itnet_registry import component
        >>> component("kernel", "mlp").id
        'itnet-core/mlp'
        >>> component("kernel", "mlp").load().__name__
        'MLPKernel'
    """

    @property
    def kind(self) -> Kind:
        """One of `itnet_core.plugin.specs.KINDS`."""
        return self.spec.kind

    @property
    def identity(self) -> tuple[Kind, str]:
        """The kind and the target."""
        return self.spec.kind, self.spec.target

    @property
    def place(self) -> str:
        """The component's name in errors."""
        return f"{self.kind} {self.id} of {self.source.title}"

    def load(self) -> type[Any]:
        """Import the target: a class of the kind's base, with a nested `Config`.

        Raises:
            RequirementError: a requirement is not installed; the hint is one pip command.
            ComponentError: the import fails, or the target differs from its declaration.
        """
        missing = unmet(self.spec.requires)
        if missing:
            error = RequirementError(
                self.place,
                found=f"no installed distribution for {', '.join(missing)}",
                expected="all that it requires",
                hint=f"Run: {pip_install(missing)}",
            )
            error.requirements = missing
            raise error
        try:
            target = self.import_target(self.spec.target)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self._error(
                error,
                found=f"{one_line(error)}, when {self.spec.target} was imported",
                expected="a target that imports",
            ) from error
        self._check(target)
        return target

    @contextmanager
    def running(self, place: str) -> Iterator[None]:
        """Run the component's code in the block; add the place of its configuration and its owner to exceptions."""
        try:
            with within(place):
                yield
        except ITNetError:
            raise
        except (Exception, SystemExit) as error:
            raise ComponentError(
                f"{place}: {self.place}", found=one_line(error), expected="a component that can be built"
            ) from error

    def _check(self, target: Any) -> None:
        base = getattr(itnet_core, BASES[self.kind])
        if not isinstance(target, type) or not issubclass(target, base):
            raise self._error(target, found=f"{target!r}", expected=f"a subclass of itnet_core.{base.__name__}")
        if inspect.isabstract(target):
            missing = ", ".join(sorted(getattr(target, "__abstractmethods__", ())))
            raise self._error(
                target, found=f"{target.__name__} without {missing}", expected=f"all of {base.__name__}'s methods"
            )
        config = getattr(target, "Config", None)
        if not isinstance(config, type) or not issubclass(config, itnet_core.ComponentConfig):
            raise self._error(
                target, found=f"{target.__name__}.Config = {config!r}", expected="a subclass of ComponentConfig"
            )
        if "name" in config.model_fields:
            raise self._error(
                target,
                found=f"a field 'name' in {target.__name__}.Config",
                expected="another name for it",
                hint="In configurations, 'name' names the component.",
            )
        modality = getattr(target, "modality", None)
        if self.spec.modality is not None and modality != self.spec.modality:
            raise self._error(
                target,
                found=f"{target.__name__}.modality = {modality!r}",
                expected=f"{self.spec.modality!r}, as in its ComponentSpec",
            )

    def _error(self, culprit: Any, *, found: str, expected: str, hint: str = "") -> ComponentError:
        """Return the error of a target, or of what its import raised; for its authors, with the line to look at."""
        if self.source.editable:
            module = self.source.module
            is_error = isinstance(culprit, BaseException)
            hint = f"{hint} Fix it in {line_of(culprit, module) if is_error else definition_of(culprit, module)}."
        fault = f"This is a fault of {self.source.title}; report it to its authors, or install another version."
        return ComponentError(self.place, found=found, expected=expected, hint=hint.lstrip() or fault)
