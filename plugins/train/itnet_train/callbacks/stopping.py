"""Callback that ends training early."""

from __future__ import annotations

import time
from typing import Any, Literal

from lightning.pytorch import Callback, Trainer

from itnet_train.callbacks.history import History
from itnet_train.config import TrainConfig


class Stopping(Callback):
    """Stops training when `patience` is exhausted or `max_minutes` have passed.

    Patience is computed from the history. So a run that is resumed after its patience was exhausted trains no further
    epoch, unlike with Lightning's `EarlyStopping`. Time is checked between optimizer steps.
    """

    def __init__(self, history: History, config: TrainConfig) -> None:
        self.history, self.config = history, config
        self._started, self._out_of_time = time.monotonic(), False

    @property
    def reason(self) -> Literal["epochs", "patience", "max_minutes"]:
        """The field of the configuration that ended training."""
        if self._out_of_time:
            return "max_minutes"
        return "patience" if self._out_of_patience and len(self.history.rows) < self.config.epochs else "epochs"

    @property
    def _out_of_patience(self) -> bool:
        return self.config.patience is not None and self.history.epochs_since_best >= self.config.patience

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start the clock; stop at once if patience was exhausted before the run was resumed."""
        self._started = time.monotonic()
        trainer.should_stop = self._out_of_patience

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop after an optimizer step if time is up."""
        last = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        if self.config.max_minutes is None or last or not completes_step(trainer, batch_idx):
            return
        late = time.monotonic() - self._started > 60 * self.config.max_minutes
        if trainer.strategy.reduce_boolean_decision(late, all=False):  # all processes stop at the same step
            self._out_of_time = trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Stop if patience is exhausted."""
        trainer.should_stop |= self._out_of_patience


def completes_step(trainer: Trainer, batch_idx: int) -> bool:
    """Whether the optimizer stepped after this batch, so that no gradient is partly accumulated."""
    return trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0
