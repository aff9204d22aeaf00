"""Compatibility of a plugin with the running core: its version range, and its plugin API."""

from __future__ import annotations

import itnet_core
from itnet_registry.plugins.discovery import Source
from itnet_registry.plugins.quarantine import loading_stage
from itnet_registry.plugins.requirements import pip_install, requirements_on
from itnet_registry.plugins.settings import CORE

SERVED = (itnet_core.API - 1, itnet_core.API)
"""Versions of the plugin API that this core serves."""


def check_core(source: Source) -> None:
    """Check the core's version against the range in the plugin's metadata; imports nothing of the plugin.

    Raises:
        PluginError: the core is out of range; the stage is `version`.
    """
    with loading_stage(source, "version"):
        for requirement in requirements_on(CORE, source.requires):
            if not requirement.specifier.contains(itnet_core.__version__, prereleases=True):
                raise RuntimeError(
                    f"found {CORE} {itnet_core.__version__}; expected {requirement}, as in the plugin's metadata; "
                    f"run {pip_install([CORE, source.distribution], upgrade=True)}"
                )


def check_api(module: object) -> None:
    """Check the `itnet_api` of a plugin's module.

    Raises:
        TypeError: it is not an integer.
        RuntimeError: this core does not serve it.
    """
    api = getattr(module, "itnet_api", itnet_core.API)
    if not isinstance(api, int) or isinstance(api, bool):
        raise TypeError(f"itnet_api: found {api!r}; expected an integer")
    if api not in SERVED:
        raise RuntimeError(f"itnet_api: found {api}; expected one that this core serves, {SERVED[0]} or {SERVED[1]}")
