"""The registry's exceptions, and the record of a plugin that was set aside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from itnet_core import ITNetError

Stage = Literal["discover", "version", "import", "api", "hooks", "register"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why a plugin was set aside.

    Attributes:
        distribution: the plugin's normalised distribution name.
        version: the distribution's version.
        module: the plugin's module, the value of its entry point.
        stage: where it failed: reading its metadata (`discover`), the core's version range (`version`), its import, its
            `itnet_api`, the shape of its hooks (`hooks`), or calling one of them (`register`).
        error: the exception in one line.
        traceback: the exception in full.
    """

    distribution: str
    version: str
    module: str
    stage: Stage
    error: str
    traceback: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} was set aside at stage {self.stage!r}: {self.error}"


class PluginError(ITNetError):
    """A plugin is at fault.

    Attributes:
        fault: the record of it, where the plugin failed before anything of it was used.
    """

    fault: Fault | None = None

    @classmethod
    def of(cls, fault: Fault) -> PluginError:
        """Return the error that tells `fault`."""
        error = cls(
            f"plugin {fault.distribution} {fault.version} ({fault.module})",
            found=f"a failure at stage {fault.stage!r}: {fault.error}",
            expected="a plugin that loads",
            hint=f"Set ITNET_DISABLE={fault.distribution} to go on without it.",
        )
        error.fault = fault
        return error

    def __reduce__(self) -> tuple[object, ...]:
        return (*super().__reduce__(), {"fault": self.fault})


class UnknownNameError(ITNetError, LookupError):
    """No installed plugin provides a component, preset or command of this name."""


class AmbiguousNameError(ITNetError, LookupError):
    """Several plugins provide different things of this name, and nothing says which is meant."""


class ComponentError(ITNetError):
    """A component that was found cannot be used: its target fails, or is not what its declaration says."""


class RequirementError(ITNetError):
    """Distributions that a component needs are not installed, or not in a version that fits.

    Attributes:
        requirements: the unmet ones (PEP 508).
    """

    requirements: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[object, ...]:
        return (*super().__reduce__(), {"requirements": self.requirements})


class CheckpointError(ITNetError):
    """A checkpoint cannot be written or read."""


def refusal(error: OSError) -> str:
    """Return what the operating system refused: the files, and why."""
    files = [str(file) for file in (error.filename, error.filename2) if file is not None]
    return ": ".join([*files, error.strerror or str(error)])


@contextmanager
def refused_as(kind: type[ITNetError], place: object, hint: str = "") -> Iterator[None]:
    """Raise what the operating system refuses inside as an error of this kind."""
    try:
        yield
    except OSError as error:
        raise kind(
            str(place), found=refusal(error), expected="files that can be read and written", hint=hint
        ) from error
