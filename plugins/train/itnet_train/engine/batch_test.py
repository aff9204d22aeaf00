"""Samples a second and memory of growing batches."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from itnet_core import ConfigError
from itnet_registry.build.memory import machine_bytes
from itnet_train.console import quiet_lightning
from itnet_train.data.batches import TaskBatch
from itnet_train.data.datamodule import TaskData
from itnet_train.engine.fast_sums import computes_on_cpu
from itnet_train.engine.module import TaskModule
from itnet_train.engine.rehearsal import on_one_device, peak_bytes
from itnet_train.engine.run import Run, attribute_errors
from itnet_train.engine.trainer import create_trainer

STEPS = 4
"""Steps of each task and size, of which the first warms up."""


@dataclass(frozen=True)
class BatchCost:
    """Cost of a training step.

    Attributes:
        batch_size: samples of a step of each task.
        samples_per_second: samples of all tasks in a second.
        memory: peak memory of the process in bytes, or of the GPU; `None` where it is unknown.
        seconds: of a step, the longest of all tasks.
    """

    batch_size: int
    samples_per_second: float
    memory: int | None
    seconds: float


def measure_batches(run: Run, *, memory: float | None, longest: float) -> tuple[list[BatchCost], str]:
    """Return the cost of batches of 1, 2, 4, … samples on one device, and why there is no larger one.

    On a CPU, a size is left out if it would exceed the memory when memory grows as it did in the last doubling. The
    model of the run changes.

    Args:
        run: the run.
        memory: largest memory in bytes; by default, that of the GPU, or half of the machine's.
        longest: seconds that a step may take.

    Raises:
        ITNetError: the run is invalid, or its smallest step fails.
    """
    costs = list[BatchCost]()
    samples = min(len(run.data.dataset(modality, "train")) for modality in run.tasks)
    while (size := 2 ** len(costs)) <= samples:
        if costs and 2 * costs[-1].seconds > longest:
            return costs, f"a step of {size} samples would take more than {longest:g} s"
        if (cost := _measure(run, size)) is None or (cost.memory or 0) > (memory or math.inf):
            if not costs:
                raise ConfigError("--memory", found="less than a step of one sample takes", expected="more")
            return costs, f"{size} samples take more than the memory"
        costs.append(cost)
        if len(costs) > 1 and computes_on_cpu(run.config):
            grown = (costs[-1].memory or 0) - (costs[-2].memory or 0)
            if (costs[-1].memory or 0) + 2 * grown > (memory or machine_bytes() / 2):
                return costs, f"{2 * size} samples would take more than the memory"
    return costs, f"the training split has {samples:,} samples"


def suggest_batch(costs: list[BatchCost], share: float) -> int:
    """Return the smallest size that reaches a share of the most samples a second.

    Example:
        >>> costs = [BatchCost(1, 90.0, None, 0.1), BatchCost(2, 99.0, None, 0.2), BatchCost(4, 100.0, None, 0.4)]
        >>> suggest_batch(costs, 0.95), suggest_batch(costs, 1.0)
        (2, 4)
    """
    best = max(cost.samples_per_second for cost in costs)
    return min(cost.batch_size for cost in costs if cost.samples_per_second >= share * best)


def _measure(run: Run, size: int) -> BatchCost | None:
    """Take some steps; return their cost, or `None` if they do not fit into the memory."""
    sections = {
        modality: run.config.task(modality).model_copy(update={"batch_size": size, "samples": STEPS * size})
        for modality in run.tasks
    }
    config = on_one_device(run.config, accumulate=1, epochs=1, tasks=sections)
    config = config.model_copy(update={"trainer": {**config.trainer, "limit_val_batches": 0}})
    clock = _Clock()
    with attribute_errors(f"a step of {size} samples"), quiet_lightning():
        trainer = create_trainer(config, callbacks=[clock], progress=False)
        device = trainer.strategy.root_device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        try:
            trainer.fit(TaskModule(run.model, run.tasks, config), datamodule=TaskData(run.tasks, config))
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
                return None
            raise
    steps = [median(seconds[1:]) for seconds in clock.seconds.values()]
    return BatchCost(size, size * len(steps) / sum(steps), peak_bytes(device), max(steps))


class _Clock(Callback):
    """Times each step of each task, loading its batch included."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._last = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start the clock."""
        self._last = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: TaskBatch, batch_idx: int
    ) -> None:
        """Read the clock."""
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds.setdefault(batch.modality, []).append(now - self._last)
        self._last = now
