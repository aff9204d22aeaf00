"""Conversion of a plugin's exceptions into faults, by which a registry quarantines the plugin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from itnet_registry.errors import Fault, PluginError, Stage
from itnet_registry.plugins.code_places import line_of
from itnet_registry.plugins.discovery import Source


@contextmanager
def loading_stage(source: Source, stage: Stage) -> Iterator[None]:
    """Convert every exception in the block, but not an interrupt, into a `PluginError` with a fault of this stage."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin must not end the program that lists it
        fault = Fault.of(
            error,
            distribution=source.distribution,
            version=source.version,
            module=source.module,
            stage=stage,
            code=line_of(error, source.module),
            editable=source.editable,
        )
        raise PluginError.of(fault) from error
