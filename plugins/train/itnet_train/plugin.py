"""Declarations of `itnet-train`: its commands, and the section `train`. Imports no torch."""

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
        CommandSpec("find-rate", "itnet_train.commands.finding_cli:find_rate", "Find a learning rate by a range test."),
        CommandSpec(
            "find-batch", "itnet_train.commands.finding_cli:find_batch", "Find the batch size of most samples a second."
        ),
        CommandSpec("init", "itnet_train.commands.init:init", "Look at your data, and write a configuration for it."),
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
        CommandSpec(
            "compare", "itnet_train.commands.runs_cli:compare", "Compare runs: a table, JSON, learning curves."
        ),
        CommandSpec(
            "sweep", "itnet_train.commands.runs_cli:sweep", "Train runs over values of fields, and compare them."
        ),
        CommandSpec("report", "itnet_train.commands.runs_cli:report", "Write the report of a run, an HTML page."),
        CommandSpec("list-runs", "itnet_train.commands.runs_cli:list_runs", "List the runs in a folder."),
        CommandSpec("push", "itnet_train.commands.push_cli:push", "Upload a run's best checkpoint to the hub."),
        CommandSpec("export", "itnet_train.commands.cli:export", "Export a checkpoint as a graph: ONNX, or PyTorch's."),
    ]
