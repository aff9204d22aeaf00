"""Declarations of `itnet-train`: the commands `itnet train`, `evaluate` and `predict`. Imports no torch."""

from __future__ import annotations

from itnet_core import CommandSpec, hookimpl


@hookimpl
def itnet_register_commands(api: int) -> list[CommandSpec]:
    """Declare `itnet train`, `itnet evaluate` and `itnet predict`."""
    return [
        CommandSpec(
            name="train",
            target="itnet_train.commands.cli:train",
            summary="Train a model from a configuration file.",
            sections={"train": "itnet_train.config:TrainConfig"},
        ),
        CommandSpec(
            name="evaluate",
            target="itnet_train.commands.cli:evaluate",
            summary="Compute a checkpoint's metrics on a split of its task.",
        ),
        CommandSpec(
            name="predict",
            target="itnet_train.commands.cli:predict",
            summary="Predict files with a checkpoint.",
        ),
    ]
