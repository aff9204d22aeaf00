"""Ends training before its last epoch: when it no longer gets better, or when time is up."""

from __future__ import annotations

import time
from typing import Any, Literal

from lightning.pytorch import Callback, Trainer

from itnet_train.config import TrainConfig
from itnet_train.history import History


class Stopping(Callback):
    """Stops training by `patience` and `max_minutes`.

    Patience is read off the history, so a run that is resumed after it ran out trains no further epoch; Lightning's own
    `EarlyStopping` would. Time is looked at between steps.

    """

    def __init__(self, history: History, config: TrainConfig) -> None:
        self.history, self.config = history, config
        self._started, self._late = time.monotonic(), False

    @property
    def reason(self) -> Literal["epochs", "patience", "max_minutes"]:
        """Why training ended."""
        if self._late:
            return "max_minutes"
        return "patience" if self._impatient and len(self.history.rows) < self.config.epochs else "epochs"

    @property
    def _impatient(self) -> bool:
        return self.config.patience is not None and self.history.waiting >= self.config.patience

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start the clock, and train nothing if patience had run out before."""
        self._started = time.monotonic()
        trainer.should_stop = self._impatient

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop after a step if time is up."""
        last = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        if self.config.max_minutes is None or last or not stepped(trainer, batch_idx):
            return
        late = time.monotonic() - self._started > 60 * self.config.max_minutes
        if trainer.strategy.reduce_boolean_decision(late, all=False):  # all processes stop at the same step
            self._late = trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Stop if patience ran out."""
        trainer.should_stop |= self._impatient


def stepped(trainer: Trainer, batch_idx: int) -> bool:
    """Return whether the optimizer made a step with this batch, so that no gradient is half gathered."""
    return trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0
