"""What is measured of a model on a split of its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from itnet_core import ConfigError, Task
from itnet_train.mean_loss import MeanLoss


class TaskScores(nn.Module):
    """A task's mean loss and its metrics; a module, so that those that are modules move with the model."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task, self.loss = task, MeanLoss()
        self.metrics = dict(task.metrics())
        self.modules_of_metrics = nn.ModuleList(m for m in self.metrics.values() if isinstance(m, nn.Module))

    def update(self, prediction: Tensor, targets: Any) -> None:
        """Take in a batch."""
        self.loss.update(self.task.loss(prediction, targets), len(prediction))
        for metric in self.metrics.values():
            metric.update(prediction, targets)

    def compute(self) -> dict[str, float]:
        """Return the mean loss and the metrics, by name."""
        return {name: float(metric.compute()) for name, metric in {"loss": self.loss, **self.metrics}.items()}

    def reset(self) -> None:
        """Forget all that was taken in."""
        for metric in (self.loss, *self.metrics.values()):
            metric.reset()


def summary(scores: Mapping[str, Mapping[str, float]], tasks: Mapping[str, Task]) -> dict[str, float]:
    """Return all scores in one mapping.

    Those of a single task are as they are. Those of several are named `image/accuracy`, and go after what is said of
    all together: the mean `loss`, and, where `monitor` says so, the `score`.

    Args:
        scores: of each task, by modality and name.
        tasks: by modality.
    """
    if len(tasks) == 1:
        [single] = scores.values()
        return dict(single)
    whole = {"loss": sum(scores[modality]["loss"] for modality in tasks) / len(tasks)}
    if monitor(tasks)[0] == "score":
        whole["score"] = sum(scores[modality][task.monitor] for modality, task in tasks.items()) / len(tasks)
    return whole | {f"{modality}/{name}": each for modality in tasks for name, each in scores[modality].items()}


def monitor(tasks: Mapping[str, Task]) -> tuple[str, Literal["max", "min"]]:
    """Return the score that decides which checkpoint is best, and whether more or less of it is better.

    For several tasks it is the mean of their monitored metrics, `score`, if more is better of all; else the loss.
    """
    if len(tasks) == 1:
        [task] = tasks.values()
        return task.monitor, task.monitor_mode
    return ("score", "max") if all(task.monitor_mode == "max" for task in tasks.values()) else ("loss", "min")


def check_monitor(task: Task) -> None:
    """Refuse a task that monitors what it does not measure.

    Raises:
        ConfigError: it does.
    """
    metrics = task.metrics()
    if task.monitor not in ("loss", *metrics):
        raise ConfigError(
            f"{type(task).__name__}.monitor",
            found=repr(task.monitor),
            expected=f"one of its metrics, {', '.join(metrics)}, or loss",
        )
