"""Exceptions of the registry, and the record of a quarantined plugin."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from itnet_core import ITNetError
from itnet_core.plugin.printable import printable

Stage = Literal["discover", "version", "import", "api", "hooks", "register"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Record of a plugin in quarantine: the stage that failed, and the error.

    The stages of loading are, in their order, reading its metadata (`discover`), the core's version range (`version`),
    its import (`import`), its `itnet_api` (`api`), the signature of its hooks (`hooks`), and calling one of them
    (`register`).

    Example:
        >>> error = ImportError("No module named 'spectrum'")
        >>> at = {"distribution": "itnet-spectrum", "version": "1.0", "module": "itnet_spectrum.plugin"}
        >>> print(Fault.of(error, **at, stage="import"))
        itnet-spectrum 1.0 is in quarantine since stage 'import': ImportError: No module named 'spectrum'
    """

    distribution: str
    """Normalised name of the plugin's distribution."""
    version: str
    """Version of the distribution."""
    module: str
    """Module of the plugin: the value of its entry point."""
    stage: Stage
    """The stage of loading that failed."""
    error: str
    """The exception in one line."""
    traceback: str
    """The exception with its traceback."""
    code: str = ""
    """File and line of the plugin's own code that failed, or the file of its declarations."""
    editable: bool = False
    """Whether the plugin is an editable install."""

    @classmethod
    def of(
        cls,
        error: BaseException,
        *,
        distribution: str,
        version: str,
        module: str,
        stage: Stage,
        code: str = "",
        editable: bool = False,
    ) -> Fault:
        """Record the exception that a plugin raised at a stage."""
        return cls(
            code=code,
            editable=editable,
            distribution=distribution,
            version=version,
            module=module,
            stage=stage,
            error=one_line(error),
            traceback="".join(traceback.format_exception(error)),
        )

    def __str__(self) -> str:
        text = f"{self.distribution} {self.version} is in quarantine since stage {self.stage!r}: {self.error}"
        return f"{text} ({self.code})" if self.editable else text


class PluginError(ITNetError):
    """A plugin does not load, or breaks the contract of the hook specification."""

    fault: Fault | None = None
    """The record of the failure, where the plugin failed while it was loaded."""

    @classmethod
    def of(cls, fault: Fault) -> PluginError:
        """Return the error for a fault."""
        error = cls(
            f"plugin {fault.distribution} {fault.version} ({fault.module})",
            found=f"a failure at stage {fault.stage!r}: {fault.error}",
            expected="a plugin that loads",
            hint=(f"Fix {fault.code}. " if fault.editable else "")
            + f"Set ITNET_DISABLE={fault.distribution} to go on without it.",
        )
        error.fault = fault
        return error

    def __reduce__(self) -> tuple[object, ...]:
        return (*super().__reduce__(), {"fault": self.fault})


class UnknownNameError(ITNetError, LookupError):
    """No installed plugin provides a component, preset or command of this name."""


class AmbiguousNameError(ITNetError, LookupError):
    """Several plugins provide different things of this name, and no preference decides."""


class ComponentError(ITNetError):
    """A component cannot be used: its target does not import, or differs from its declaration."""


class RequirementError(ITNetError):
    """Distributions that a component requires are missing, or installed in an unsuitable version."""

    requirements: tuple[str, ...] = ()
    """The unmet requirements (PEP 508)."""

    def __reduce__(self) -> tuple[object, ...]:
        return (*super().__reduce__(), {"requirements": self.requirements})


class CheckpointError(ITNetError):
    """A checkpoint cannot be written or read."""


def one_line(error: BaseException) -> str:
    """Return the type and message of an exception in printable characters, on one line.

    Example:
        >>> one_line(ValueError("first\\nsecond"))
        'ValueError: first second'
    """
    try:
        message = str(error)
    except Exception:
        message = "its message cannot be read"
    return printable(" ".join(f"{type(error).__name__}: {message}".split())).rstrip(": ")


def os_error_text(error: OSError) -> str:
    """Return the files and the reason of an error of the operating system.

    Example:
        >>> os_error_text(FileNotFoundError(2, "No such file or directory", "run.yaml"))
        'run.yaml: No such file or directory'
    """
    files = [str(file) for file in (error.filename, error.filename2) if file is not None]
    return ": ".join([*files, error.strerror or str(error)])


@contextmanager
def os_errors_as(kind: type[ITNetError], place: object, hint: str = "") -> Iterator[None]:
    """Convert errors of the operating system in the block into errors of class `kind`."""
    try:
        yield
    except OSError as error:
        raise kind(
            str(place), found=os_error_text(error), expected="files that can be read and written", hint=hint
        ) from error


@contextmanager
def checkpoint_errors(hint: str = "") -> Iterator[None]:
    """Convert every `ITNetError` in the block into a `CheckpointError`.

    Args:
        hint: replaces the error's own hint, which is for users who write the configuration.
    """
    try:
        yield
    except CheckpointError:
        raise
    except ITNetError as error:
        raise CheckpointError(
            error.place, found=error.found, expected=error.expected, hint=hint or error.hint
        ) from error


@contextmanager
def within(place: str) -> Iterator[None]:
    """Prefix the place of every `ITNetError` raised in the block.

    Example:
        >>> with within("run.yaml"):
        ...     raise CheckpointError("model.width", found="-3", expected="a positive number")
        Traceback (most recent call last):
        itnet_registry.errors.CheckpointError: run.yaml: model.width: found -3; expected a positive number.
    """
    try:
        yield
    except ITNetError as error:
        error.place = f"{place}: {error.place}"
        raise
