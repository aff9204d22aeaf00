"""Declarations of `itnet-train`: the commands `itnet train`, `evaluate`, `predict` and `export`. Imports no torch."""

from __future__ import annotations

from itnet_core import CommandSpec, hookimpl


@hookimpl
def itnet_register_commands(api: int) -> list[CommandSpec]:
    """Declare the commands."""
    return [
        CommandSpec(
            "train",
            "itnet_train.commands.cli:train",
            "Train a model from a configuration file.",
            sections={"train": "itnet_train.config:TrainConfig"},
            citations=("falcon2019lightning",),
            rehearsal="itnet_train.commands.summary:rehearse_sections",
        ),
        CommandSpec("init", "itnet_train.commands.init:init", "Look at your data, and write a configuration for it."),
        CommandSpec(
            "evaluate",
            "itnet_train.commands.cli:evaluate",
            "Compute a checkpoint's metrics on a split of its task.",
        ),
        CommandSpec("predict", "itnet_train.commands.cli:predict", "Predict files with a checkpoint."),
        CommandSpec("export", "itnet_train.commands.cli:export", "Export a checkpoint as a graph: ONNX, or PyTorch's."),
    ]
