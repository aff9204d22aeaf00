"""Rehearsal of a run: the first training steps on its own data, and what they cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from itnet_core import ConfigError, DataError, Field, ITNetError, ITNetModel
from itnet_registry import default_registry
from itnet_registry.build.memory import machine_bytes
from itnet_registry.build.trunk_table import trunk_table
from itnet_registry.config.model_config import CompleteModelConfig
from itnet_train.config import ParallelSection, TrainConfig
from itnet_train.console import quiet_lightning
from itnet_train.data.batch_sampler import TaskBatchSampler, TaskShare
from itnet_train.data.batches import TaskBatch
from itnet_train.data.datamodule import TaskData
from itnet_train.engine.model_run import ModelRun
from itnet_train.engine.module import TaskModule
from itnet_train.engine.run import attribute_errors
from itnet_train.engine.trainer import create_trainer

FEW = 2
"""Samples of the first batches, from which the time of a whole one is estimated."""

EPOCH_ARGUMENTS = ("limit_train_batches", "limit_val_batches", "overfit_batches", "val_check_interval")
"""Arguments of Lightning's `Trainer` about whole epochs, which a rehearsal is not."""

PATIENCE = 5.0
"""Seconds that a step of whole batches may take by that estimate, to be tried too."""


@dataclass(frozen=True)
class StepCost:
    """Cost of the training steps of one task.

    Attributes:
        points: points of a sample's field, after the encoder.
        flops: FLOPs of a step's matrix products, forward and backward; `None` where they cannot be counted.
        seconds: of a step, loading its batch included.
        first_reading: seconds that the first epoch takes longer than the others, because the task keeps what it reads.
        memory: peak memory of the process in bytes, or of the GPU; `None` where it is unknown.
        batch_size: samples of a step on each device.
        steps: steps of an epoch.
        measured: samples of the steps that were timed; the cost of a whole batch is estimated from fewer.
    """

    points: int
    flops: float | None
    seconds: float
    first_reading: float
    memory: int | None
    batch_size: int
    steps: int
    measured: int


def rehearse(run: ModelRun) -> dict[str, StepCost]:
    """Take a few training steps of a run on one device, and return what they cost, by modality.

    The first steps have two samples each; whole batches follow if they take a few seconds. The model's weights change.

    Raises:
        ITNetError: a step fails.
    """
    sizes = {modality: len(run.data.dataset(modality, "train")) for modality in run.tasks}
    batches = {m: min(run.config.task(m).batch_size or run.config.batch_size, size) for m, size in sizes.items()}
    few = {m: min(FEW, batch) for m, batch in batches.items()}
    with attribute_errors("the first training step"), quiet_lightning():
        if run.config.initialize_scales and run.config.init is None:
            run.initialize_scales(FEW)
        watch = _take_steps(run, few)
        if run.tasks.keys() - watch.fields.keys():  # the few samples cannot be read, and are skipped
            few, watch = batches, _take_steps(run, batches)
        for modality in run.tasks.keys() - watch.fields.keys():
            found = f"batches of {batches[modality]} samples that cannot be read"
            raise DataError(f"the training samples of {modality}", found=found, expected="readable samples")
        costs = {m: watch.cost(run, m, few[m], batches[m], _steps(run.config, m, sizes[m])) for m in run.tasks}
        affordable = all(c.seconds < PATIENCE and (c.memory or 0) < machine_bytes() / 2 for c in costs.values())
        if affordable and few != batches:
            watch = _take_steps(run, batches)
            costs = {m: replace(c, **watch.measured(m), measured=batches[m]) for m, c in costs.items()}
    _check_interval(run.config, sum(cost.steps for cost in costs.values()))
    return costs


def _check_interval(config: TrainConfig, steps: int) -> None:
    """Check that an epoch is as long as the interval of its validations, as Lightning does when it starts."""
    interval = config.trainer.get("val_check_interval", 1.0)
    if isinstance(interval, int) and interval > steps:
        raise ConfigError("train.trainer.val_check_interval", found=str(interval), expected=f"at most {steps} steps")


def _take_steps(run: ModelRun, sizes: Mapping[str, int]) -> _Stopwatch:
    """Train on two batches of each task."""
    sections = {m: run.config.task(m).model_copy(update={"batch_size": n, "samples": 2 * n}) for m, n in sizes.items()}
    config = on_one_device(run.config, accumulate=1, workers=0, tasks=sections)
    watch = _Stopwatch()
    trainer = create_trainer(config, callbacks=[watch], progress=False)
    with suppress(_Enough):
        trainer.fit(TaskModule(run.model, run.tasks, config), datamodule=TaskData(run.tasks, config))
    return watch


def on_one_device(config: TrainConfig, **changes: Any) -> TrainConfig:
    """Return a configuration with some changes, for steps on one device that are not counted in epochs."""
    one = {"devices": 1, "nodes": 1, "strategy": "auto", "parallel": ParallelSection()}
    arguments = {name: value for name, value in config.trainer.items() if name not in EPOCH_ARGUMENTS}
    return config.model_copy(update={**one, "trainer": arguments, **changes})


def _steps(config: TrainConfig, modality: str, size: int) -> int:
    """Return the steps of an epoch."""
    section, processes = config.task(modality), config.processes // config.parallel.points
    share = TaskShare(size, section.batch_size or config.batch_size, section.samples or size)
    steps = len(TaskBatchSampler({modality: share}, config.seed, world_size=processes))
    limit = config.trainer.get("limit_train_batches", 1.0)
    return max(1, int(min(steps, limit) if isinstance(limit, int) else steps * limit))


class _Enough(Exception):  # noqa: N818
    """Ends a rehearsal before its validation."""


class _Stopwatch(Callback):
    """Times the steps of each task, and adds up the bytes that their backward passes need."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.storages: dict[str, dict[int, int]] = {}
        self.fields: dict[str, Field] = {}
        self.memory: int | None = None
        self._readings: list[dict[str, float]] = []
        self._last = 0.0
        self._step = ExitStack()

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Read the batches twice, so that the steps find what a task keeps, and start the clock."""
        self._readings = [_reading_times(trainer.train_dataloader) for _ in range(2)]
        self._last = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: TaskBatch, batch_idx: int) -> None:
        """Start to watch a step: the encoder's field, and the tensors that are kept for the backward pass."""
        storages = self.storages[batch.modality] = {}

        def keep_field(module: Any, inputs: Any, output: Field) -> None:
            self.fields[batch.modality] = output

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        self._step.callback(pl_module.model.encoders[batch.modality].register_forward_hook(keep_field).remove)
        self._step.enter_context(torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor))

    def on_before_backward(self, trainer: Trainer, pl_module: Any, loss: Tensor) -> None:
        """Stop to watch."""
        self._step.close()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Stop to watch a step that failed."""
        self._step.close()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: TaskBatch, batch_idx: int
    ) -> None:
        """Read the clock."""
        self._step.close()
        device = trainer.strategy.root_device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        now = time.perf_counter()
        self.seconds[batch.modality], self._last = now - self._last, now
        self.memory = peak_bytes(device)

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        """End the rehearsal."""
        raise _Enough

    def measured(self, modality: str) -> dict[str, Any]:
        """Return the seconds and the memory of the last step."""
        return {"seconds": self.seconds[modality], "memory": self.memory}

    def cost(self, run: ModelRun, modality: str, few: int, batch: int, steps: int) -> StepCost:
        """Return the cost of a batch, estimated from that of a few samples."""
        scale, field = batch / few, self.fields[modality]
        memory = None if self.memory is None else int(self.memory + sum(self.storages[modality].values()) * (scale - 1))
        flops = _sample_flops(run.model, field)
        return StepCost(
            points=field.values.shape[1],
            flops=None if flops is None else 3 * batch * flops,  # the backward pass costs twice the forward pass
            seconds=self.seconds[modality] * scale,
            first_reading=self._first_reading(modality) / few * batch * steps,
            memory=memory,
            batch_size=batch,
            steps=steps,
            measured=few,
        )

    def _first_reading(self, modality: str) -> float:
        """Return the seconds that a batch took longer when it was read for the first time."""
        first, again = (reading[modality] for reading in self._readings)
        return max(0.0, first - again)


def _reading_times(loader: Any) -> dict[str, float]:
    """Return the seconds in which the last batch of each task is read; the first one also loads libraries."""
    seconds, start = dict[str, float](), time.perf_counter()
    for batch in loader:
        seconds[batch.modality] = time.perf_counter() - start
        start = time.perf_counter()
    return seconds


def _sample_flops(model: ITNetModel, field: Field) -> float | None:
    """Return the FLOPs of the trunk for one sample, forward; see `itnet info`."""
    config = CompleteModelConfig.model_validate(model.config)
    try:
        rows = trunk_table(default_registry(), config, field.grid or field.values.shape[1:2])
    except ITNetError:  # a trunk that needs more than a grid of points, such as edges
        return None
    return float(sum(row["flops"] for row in rows))


def peak_bytes(device: torch.device) -> int | None:
    """Return the largest memory that the process has had so far: of a GPU its tensors, else all."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "linux":  # there `getrusage` includes what the process had that started this one
        lines = Path("/proc/self/status").read_text().splitlines()
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)
    try:
        import resource
    except ImportError:  # on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
