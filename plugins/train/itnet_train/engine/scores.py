"""Losses and metrics of a model's tasks on a split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from itnet_core import ConfigError, Task
from itnet_train.engine.mean_loss import MeanLoss


class TaskScores(nn.Module):
    """A task's mean loss and metrics. It is a module, so that metrics that are modules move with the model."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task, self.loss = task, MeanLoss()
        self.metrics = dict(task.metrics())
        self.metric_modules = nn.ModuleList(m for m in self.metrics.values() if isinstance(m, nn.Module))

    def update(self, prediction: Tensor, targets: Any, loss: Tensor) -> None:
        """Add a batch, and its loss."""
        self.loss.update(loss, len(prediction))
        for metric in self.metrics.values():
            metric.update(prediction, targets)

    def compute(self) -> dict[str, float]:
        """Return the mean loss and the metrics by name."""
        return {name: float(metric.compute()) for name, metric in {"loss": self.loss, **self.metrics}.items()}

    def reset(self) -> None:
        """Remove all batches."""
        for metric in (self.loss, *self.metrics.values()):
            metric.reset()


def combine_scores(scores: Mapping[str, Mapping[str, float]], tasks: Mapping[str, Task]) -> dict[str, float]:
    """Combine the scores of all tasks into one mapping.

    The scores of a single task keep their names. With several tasks, `loss` is the mean loss, `score` is the mean of
    the monitored metrics if `monitored_score` uses it, and the tasks' own scores are named `image/accuracy`.

    Args:
        scores: scores by modality and name.
        tasks: tasks by modality.
    """
    if len(tasks) == 1:
        [single] = scores.values()
        return dict(single)
    combined = {"loss": sum(scores[modality]["loss"] for modality in tasks) / len(tasks)}
    if monitored_score(tasks)[0] == "score":
        combined["score"] = sum(scores[modality][task.monitor] for modality, task in tasks.items()) / len(tasks)
    return combined | {f"{modality}/{name}": value for modality in tasks for name, value in scores[modality].items()}


def monitored_score(tasks: Mapping[str, Task]) -> tuple[str, Literal["max", "min"]]:
    """Return the name of the score that selects the best checkpoint, and whether to maximise or minimise it.

    For several tasks it is `score`, the mean of their monitored metrics, if all are maximised; otherwise the loss.
    """
    if len(tasks) == 1:
        [task] = tasks.values()
        return task.monitor, task.monitor_mode
    return ("score", "max") if all(task.monitor_mode == "max" for task in tasks.values()) else ("loss", "min")


def check_monitor(task: Task) -> None:
    """Check that a task monitors one of its own metrics, or the loss.

    Raises:
        ConfigError: it does not.
    """
    metrics = task.metrics()
    if task.monitor not in ("loss", *metrics):
        raise ConfigError(
            f"{type(task).__name__}.monitor",
            found=repr(task.monitor),
            expected=f"one of its metrics, {', '.join(metrics)}, or loss",
        )
