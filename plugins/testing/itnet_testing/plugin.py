"""Declarations of `itnet-testing`: the command `itnet test-plugin`."""

from __future__ import annotations

from itnet_core import CommandSpec, hookimpl


@hookimpl
def itnet_register_commands(api: int) -> list[CommandSpec]:
    """Declare `itnet test-plugin`."""
    return [
        CommandSpec(
            "test-plugin",
            "itnet_testing.command:check_plugin",
            "Check the components of a distribution with the conformance kit.",
        )
    ]
