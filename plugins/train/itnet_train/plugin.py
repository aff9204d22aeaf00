"""Declarations of `itnet-train`: the commands train, evaluate, predict, serve and export. Imports no torch."""

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
        ),
        CommandSpec(
            "evaluate",
            "itnet_train.commands.cli:evaluate",
            "Compute a checkpoint's metrics on a split of its task.",
        ),
        CommandSpec(
            "predict",
            "itnet_train.commands.prediction_cli:predict",
            "Predict files, tables and texts with a checkpoint.",
        ),
        CommandSpec(
            "serve", "itnet_train.commands.prediction_cli:serve", "Serve the predictions of a checkpoint over HTTP."
        ),
        CommandSpec("export", "itnet_train.commands.cli:export", "Export a checkpoint as a graph: ONNX, or PyTorch's."),
    ]
