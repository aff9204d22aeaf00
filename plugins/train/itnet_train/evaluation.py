"""What a checkpoint scores on a split of its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from itnet_core import Split
from itnet_registry import load_model, use_sampler
from itnet_train.config import TrainConfig
from itnet_train.console import quiet
from itnet_train.data import TaskData
from itnet_train.module import TaskModule
from itnet_train.selection import tasks_of
from itnet_train.trainer import new_trainer


def evaluate(
    checkpoint: str | PathLike[str],
    split: Split = "test",
    *,
    modality: str | None = None,
    task: Mapping[str, Any] | None = None,
    config: TrainConfig | None = None,
    sampler: str | Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Return the mean loss and the metrics of the tasks; see `itnet_train.scores.summary` for their names.

    Args:
        checkpoint: a checkpoint's directory, such as `best` of a run.
        split: which samples.
        modality: which task, for a model of several; all by default.
        task: fields of the one task that are to be others than in the checkpoint, such as where the data lies.
        config: its batch size, workers, precision and device are used.
        sampler: in the checkpoint's place, a name or a name with options; see `itnet_registry.use_sampler`.

    Raises:
        ITNetError: the checkpoint, its task or the data cannot be used.
    """
    config = TrainConfig() if config is None else config
    model = load_model(checkpoint)
    if sampler is not None:
        use_sampler(model, sampler)
    chosen = tasks_of(model, modality, **(task or {}))
    module, data = TaskModule(model, chosen, config), TaskData(chosen, config, tested=split)
    with quiet():
        new_trainer(config).test(module, datamodule=data, verbose=False)
    return module.scores
