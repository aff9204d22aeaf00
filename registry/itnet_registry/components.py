"""A component of a plugin: its declaration, and its class once somebody asks for it."""

from __future__ import annotations

import inspect
from typing import Any

import itnet_core
from itnet_core import ComponentSpec
from itnet_core.plugin.specs import Kind
from itnet_registry.declared import Declared
from itnet_registry.errors import ComponentError, RequirementError
from itnet_registry.requirements import pip_install, unmet
from itnet_registry.targets import import_target, one_line

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
"""The kinds whose components are built for a number of channels, `dim`."""


class Component(Declared[ComponentSpec]):
    """A component and its owner."""

    @property
    def kind(self) -> Kind:
        """One of `itnet_core.plugin.specs.KINDS`."""
        return self.spec.kind

    @property
    def identity(self) -> Any:
        """The kind and the target."""
        return self.spec.kind, self.spec.target

    @property
    def place(self) -> str:
        """How errors name it."""
        return f"{self.kind} {self.id} of {self.source.title}"

    def load(self) -> type[Any]:
        """Import the target and return it: a class of the kind's base, with a nested `Config`.

        Raises:
            RequirementError: something that it needs is not installed; one pip command hints it.
            ComponentError: the import fails, or the target is not what its declaration says.
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
            target = import_target(self.spec.target, self.source)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self._error(
                found=f"{one_line(error)}, when {self.spec.target} was imported", expected="a target that imports"
            ) from error
        self._check(target)
        return target

    def _check(self, target: Any) -> None:
        base = getattr(itnet_core, BASES[self.kind])
        if not isinstance(target, type) or not issubclass(target, base):
            raise self._error(found=f"{target!r}", expected=f"a subclass of itnet_core.{base.__name__}")
        if inspect.isabstract(target):
            missing = ", ".join(sorted(getattr(target, "__abstractmethods__", ())))
            raise self._error(
                found=f"{target.__name__} without {missing}", expected=f"all of {base.__name__}'s methods"
            )
        config = getattr(target, "Config", None)
        if not isinstance(config, type) or not issubclass(config, itnet_core.ComponentConfig):
            raise self._error(found=f"{target.__name__}.Config = {config!r}", expected="a subclass of ComponentConfig")
        if "name" in config.model_fields:
            raise self._error(
                found=f"a field 'name' in {target.__name__}.Config",
                expected="another name for it",
                hint="In configurations, 'name' says which component it is.",
            )
        modality = getattr(target, "modality", None)
        if self.spec.modality is not None and modality != self.spec.modality:
            raise self._error(
                found=f"{target.__name__}.modality = {modality!r}",
                expected=f"{self.spec.modality!r}, as in its ComponentSpec",
            )

    def _error(self, *, found: str, expected: str, hint: str = "") -> ComponentError:
        hint = hint or f"This is a fault of {self.source.title}; tell its authors, or install another version."
        return ComponentError(self.place, found=found, expected=expected, hint=hint)
