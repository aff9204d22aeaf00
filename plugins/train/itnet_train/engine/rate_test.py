"""Range test of the learning rate: train while it grows, and find where the loss falls fastest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from itnet_train.config import TrainConfig
from itnet_train.console import quiet_lightning
from itnet_train.data.batches import TaskBatch
from itnet_train.data.datamodule import TaskData
from itnet_train.engine.module import TaskModule
from itnet_train.engine.optimizer import create_optimizer
from itnet_train.engine.rehearsal import on_one_device
from itnet_train.engine.run import Run, attribute_errors
from itnet_train.engine.trainer import create_trainer
from itnet_train.errors import NonFiniteError

SMOOTHING = 0.9
"""Share that the running mean of the loss keeps in each step."""

DIVERGED = 4.0
"""The test ends where the mean loss is so many times its minimum."""

WINDOW = 0.2
"""Share of the steps that a slope of the loss is fitted to."""


@dataclass(frozen=True)
class RateCurve:
    """The training loss while the learning rate grows.

    Attributes:
        rates: peak learning rate of each step, as `train.learning_rate`.
        losses: loss of each step.
        means: running mean of the losses.
    """

    rates: Sequence[float]
    losses: Sequence[float]
    means: Sequence[float]

    @property
    def suggestion(self) -> float | None:
        """The rate at which the loss falls fastest with the logarithm of the rate; `None` if it does not fall.

        The slopes are those of lines through a fifth of the steps, up to the lowest running mean, which lags behind.

        Example:
            >>> rates = [10 ** (-6 + step / 16) for step in range(97)]
            >>> losses = [2 - 1 / (1 + (1e-3 / rate) ** 2) + rate**2 for rate in rates]
            >>> f"{RateCurve(rates, losses, losses).suggestion:.0e}"
            '1e-03'
        """
        count = max(3, round(WINDOW * len(self.rates)))
        last = int(np.argmin(self.means)) + 1 if self.means else 0
        logs, losses = np.log(self.rates[:last]), np.asarray(self.losses[:last])
        windows = [slice(start, start + count) for start in range(last - count + 1)]
        slopes = [np.polyfit(logs[window], losses[window], 1)[0] for window in windows]
        if not slopes or min(slopes) >= 0:
            return None
        return float(np.exp(logs[windows[int(np.argmin(slopes))]].mean()))


def measure_rates(run: Run, *, lowest: float, highest: float, steps: int) -> RateCurve:
    """Train a run on one device for some steps while the rates of all groups grow together. The model changes.

    Batches of several processes are accumulated, so that a step has as many samples as one of the run.

    Raises:
        ITNetError: the run is invalid, or a step fails.
    """
    rates = [lowest * (highest / lowest) ** (step / (steps - 1)) for step in range(steps)]
    accumulate = run.config.accumulate * run.config.processes // run.config.parallel.points
    limits = {"max_steps": steps, "limit_val_batches": 0}
    config = on_one_device(run.config, epochs=-1, accumulate=accumulate)
    config = config.model_copy(update={"trainer": {**config.trainer, **limits}})
    recorder = _Recorder()
    with attribute_errors("the range test"), quiet_lightning():
        if run.config.initialize_scales and run.config.init is None:
            run.initialize_scales()
        trainer = create_trainer(config, callbacks=[recorder], progress=False)
        with suppress(_Diverged, NonFiniteError):
            trainer.fit(_GrowingRate(run, config, rates), datamodule=TaskData(run.tasks, config))
    return RateCurve(rates[: len(recorder.losses)], recorder.losses, recorder.means)


class _GrowingRate(TaskModule):
    """A module whose groups of parameters have the rates of the range test, times their own factors."""

    def __init__(self, run: Run, config: TrainConfig, rates: Sequence[float]) -> None:
        super().__init__(run.model, run.tasks, config)
        self.rates = rates

    def configure_optimizers(self) -> Any:
        """Return the optimizer of the run, and a schedule that scales the rates of all its groups."""
        optimizer, peak = create_optimizer(self.model, self.settings), self.settings.learning_rate
        scheduler = LambdaLR(optimizer, lambda step: self.rates[min(step, len(self.rates) - 1)] / peak)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


class _Diverged(Exception):  # noqa: N818
    """Ends a range test."""


class _Recorder(Callback):
    """Records the mean loss of the batches of each step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.means: list[float] = []
        self._batches: list[float] = []
        self._mean = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: TaskBatch, batch_idx: int
    ) -> None:
        """Add a batch; end the test if the loss has diverged."""
        if isinstance(outputs, dict) and isinstance(outputs.get("loss"), Tensor):
            self._batches.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)
        if trainer.global_step == len(self.losses) or not self._batches:
            return
        loss, self._batches = sum(self._batches) / len(self._batches), []
        self.losses.append(loss)
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        self.means.append(self._mean / (1 - SMOOTHING ** len(self.losses)))
        if self.means[-1] > DIVERGED * min(self.means) > 0:
            raise _Diverged
