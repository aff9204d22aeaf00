"""Callback that saves checkpoints and the training state."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import nn

from itnet_core.plugin.files import atomic_path, partial_path
from itnet_train.callbacks.averaging import Averaging, averaged_weights
from itnet_train.callbacks.history import History
from itnet_train.callbacks.stopping import completes_step
from itnet_train.data.datamodule import TaskData
from itnet_train.engine.sharded_strategy import ShardedStrategy, remove_old_shares
from itnet_train.storage.directory import RunDirectory


class Saving(Checkpoint):
    """Saves the checkpoints `best` and `last` and the training state at the end of each epoch.

    Within an epoch it saves the training state alone: every `every_steps` steps, when training stops, and on a signal.
    The state is saved after the checkpoints, so a run that is killed in between repeats the end of the epoch and saves
    them again.

    Args:
        directory: where to save.
        save: writes a checkpoint of a model to a path.
        history: decides which epoch is best.
        every_steps: steps between saves within an epoch; `None` for no such saves.
        averaging: the average that checkpoints hold in place of the weights of the last step.
    """

    def __init__(
        self,
        directory: RunDirectory,
        save: Callable[[nn.Module, Path], None],
        history: History,
        every_steps: int | None,
        averaging: Averaging | None = None,
    ) -> None:
        self.directory, self.save, self.history, self.every_steps = directory, save, history, every_steps
        self.averaging = averaging

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save the state within an epoch if a save is due."""
        if trainer.is_last_batch or not completes_step(trainer, batch_idx):
            return
        due = self.every_steps is not None and trainer.global_step % self.every_steps == 0
        if due or trainer.should_stop or trainer.received_sigterm:
            self._save_state(trainer, trainer.current_epoch, batch_idx + 1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Save the checkpoints, and the state if the epoch is complete."""
        with averaged_weights(self.averaging, pl_module.model):
            model = pl_module.whole_model()
            if trainer.is_global_zero and model is not None:
                for path in [self.directory.best] * self.history.improved + [self.directory.last]:
                    self.save(model, path)
        if trainer.is_last_batch:
            self._save_state(trainer, trainer.current_epoch + 1, 0)
        trainer.strategy.barrier("checkpoints are saved")

    def _save_state(self, trainer: Trainer, epoch: int, batches: int) -> None:
        data: TaskData = trainer.datamodule  # type: ignore[attr-defined]
        data.position = (epoch, batches)
        path = self.directory.state
        with atomic_path(path) if trainer.is_global_zero else nullcontext(partial_path(path)) as partial:
            trainer.save_checkpoint(partial)  # all processes take part, the first one writes
        if trainer.is_global_zero and isinstance(trainer.strategy, ShardedStrategy):
            remove_old_shares(path)
