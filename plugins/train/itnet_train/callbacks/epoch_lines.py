"""Callback that prints a line after each epoch."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from itnet_train.callbacks.history import History
from itnet_train.console import format_scores, print_status


class EpochLines(Callback):
    """Prints the losses and scores of each epoch; a star marks the best epoch so far."""

    def __init__(self, history: History) -> None:
        self.history = history

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Print the line of the epoch."""
        row = self.history.rows[-1]
        scores = {name.removeprefix("validation_"): row[name] for name in row if name.startswith("validation_")}
        print_status(
            f"epoch {row['epoch']:>3}/{trainer.max_epochs}  train loss {row['train_loss']:.4f}  "
            f"validation {format_scores(scores)}  {row['seconds']:.1f} s{'  *' if self.history.improved else ''}"
        )

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """After an interruption, print how to continue."""
        if isinstance(exception, KeyboardInterrupt | SIGTERMException):
            print_status(
                f"interrupted in epoch {trainer.current_epoch + 1}; --resume continues from the last saved state"
            )
