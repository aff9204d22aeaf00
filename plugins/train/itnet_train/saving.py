"""Saves what a run is to leave behind, and what it is resumed from."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint

from itnet_registry import save_model
from itnet_train.data import TaskData
from itnet_train.directory import RunDirectory
from itnet_train.files import commit, incomplete
from itnet_train.history import History
from itnet_train.module import TaskModule
from itnet_train.stopping import stepped


class Saving(Checkpoint):
    """Saves the checkpoints `best` and `last` and the training state at the end of each epoch.

    Within an epoch it saves the training state alone: every so many steps, when training is stopped, and when the
    process is told to terminate (SIGTERM). The state is saved after the checkpoints, so that a run killed between the
    two repeats the epoch's end and saves them again.

    Args:
        directory: where to.
        history: which epoch is best.
        every_steps: steps between saves within an epoch.
    """

    def __init__(self, directory: RunDirectory, history: History, every_steps: int | None) -> None:
        self.directory, self.history, self.every_steps = directory, history, every_steps

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save the state within an epoch, if it is time to."""
        if trainer.is_last_batch or not stepped(trainer, batch_idx):
            return
        due = self.every_steps is not None and trainer.global_step % self.every_steps == 0
        if due or trainer.should_stop or trainer.received_sigterm:
            self._save_state(trainer, trainer.current_epoch, batch_idx + 1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: TaskModule) -> None:  # type: ignore[override]
        """Save the checkpoints, and the state unless the epoch was left before its end."""
        if trainer.is_global_zero:
            if self.history.improved:
                save_model(pl_module.model, self.directory.best)
            save_model(pl_module.model, self.directory.last)
        if trainer.is_last_batch:
            self._save_state(trainer, trainer.current_epoch + 1, 0)
        trainer.strategy.barrier("checkpoints are saved")

    def _save_state(self, trainer: Trainer, epoch: int, batches: int) -> None:
        data: TaskData = trainer.datamodule  # type: ignore[attr-defined]
        data.position = (epoch, batches)
        with incomplete(self.directory.state) as part:
            trainer.save_checkpoint(part)
            if trainer.is_global_zero:
                commit(part, self.directory.state)
