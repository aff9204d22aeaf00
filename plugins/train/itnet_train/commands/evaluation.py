"""Evaluate a checkpoint on a split of its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from itnet_core import Split
from itnet_registry import load_model, use_sampler
from itnet_registry.build.predictions import check_predictions
from itnet_registry.build.tasks import create_tasks
from itnet_train.config import TrainConfig
from itnet_train.console import quiet_lightning
from itnet_train.data.datamodule import TaskData
from itnet_train.engine.module import TaskModule
from itnet_train.engine.trainer import create_trainer


def evaluate(
    checkpoint: str | PathLike[str],
    split: Split = "test",
    *,
    modality: str | None = None,
    task: Mapping[str, Any] | None = None,
    config: TrainConfig | None = None,
    sampler: str | Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Return the mean loss and the metrics of a checkpoint; see `itnet_train.engine.scores.combine_scores`.

    Example:
        >>> from itnet_registry import create_model, save_model
        >>> encoder = {"name": "patch", "patch_size": 2}
        >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, task="digits"), "digits")
        >>> evaluate("digits")  # a new model, which guesses
        {'loss': 2..., 'accuracy': 0...}
        >>> sorted(evaluate("digits", "validation", sampler={"name": "monte-carlo", "points": 8}))
        ['accuracy', 'loss']

    Args:
        checkpoint: a checkpoint directory, such as `best` in a run directory, or an address as for
            `itnet_registry.load`.
        split: the split to evaluate.
        modality: the task of a multi-task model; all tasks by default.
        task: fields of the task that override the checkpoint's, such as the directory of the data.
        config: batch size, workers, precision and device.
        sampler: a sampler to use instead of the checkpoint's, a name or a name with options; see
            `itnet_registry.use_sampler`.

    Raises:
        ITNetError: the checkpoint, its task or the data cannot be used.
    """
    config = TrainConfig() if config is None else config
    model = load_model(checkpoint)
    if sampler is not None:
        use_sampler(model, sampler)
    tasks = create_tasks(model, modality, **(task or {}))
    check_predictions(model, tasks)
    module, data = TaskModule(model, tasks, config), TaskData(tasks, config, test_split=split)
    with quiet_lightning():
        create_trainer(config).test(module, datamodule=data, verbose=False)
    return module.scores
