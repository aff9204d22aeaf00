"""Declarations of `itnet-explain`: the command `itnet explain`, and a section for `itnet train`. Imports no torch."""

from __future__ import annotations

from itnet_core import CommandSpec, hookimpl


@hookimpl
def itnet_register_commands(api: int) -> list[CommandSpec]:
    """Declare the command."""
    return [
        CommandSpec(
            "explain",
            "itnet_explain.cli:explain",
            "Explain a checkpoint's kernels: numbers, maps, a report.",
            sections={"explain": "itnet_explain.config:ExplainConfig"},
        )
    ]
