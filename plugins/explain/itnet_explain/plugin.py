"""Declarations of `itnet-explain`: its commands, and a section for `itnet train`. Imports no torch."""

from __future__ import annotations

from itnet_core import CommandSpec, hookimpl


@hookimpl
def itnet_register_commands(api: int) -> list[CommandSpec]:
    """Declare the commands."""
    return [
        CommandSpec(
            "explain",
            "itnet_explain.cli:explain",
            "Explain a checkpoint's kernels: numbers, maps, a report.",
            sections={"explain": "itnet_explain.config:ExplainConfig"},
        ),
        CommandSpec("demo", "itnet_explain.cli:demo", "Serve a local page to try a checkpoint."),
    ]
