"""Callback that records a row of losses and scores per epoch and finds the best epoch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from itnet_core import write_atomically
from itnet_train.engine.module import TaskModule
from itnet_train.storage.formats import to_csv
from itnet_train.storage.history_rows import Mode, has_scores, is_better


class History(Callback):
    """Keeps one row per epoch in memory, in the training state, and in a CSV file.

    Args:
        path: the CSV file, rewritten after each epoch.
        monitor: the score that decides which epoch is best.
        mode: whether a larger (`max`) or a smaller (`min`) score is better. Among equal scores, the lower validation
            loss is better.

    Attributes:
        rows: rows by column: `epoch` (from 1), `step`, `seconds` (of training so far), `learning_rate`, `train_loss`,
            the validation scores as `validation_…`, and the scores of sections as `section/name`.
        best: index of the best row.
    """

    def __init__(self, path: Path, monitor: str, mode: Mode) -> None:
        self.path, self.monitor, self.mode = path, monitor, mode
        self.rows: list[dict[str, float]] = []
        self.best = 0
        self._seconds_before, self._started = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of training so far, including those before the run was resumed."""
        return self._seconds_before + time.monotonic() - self._started

    @property
    def improved(self) -> bool:
        """Whether the last row is the best."""
        return self.best == len(self.rows) - 1 and self.has_best

    @property
    def has_best(self) -> bool:
        """Whether some row has a loss and a monitored score that are not NaN."""
        return has_scores(self.rows[self.best], self.monitor)

    @property
    def epochs_since_best(self) -> int:
        """Number of epochs after the best one."""
        return max(0, len(self.rows) - 1 - self.best)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: TaskModule) -> None:  # type: ignore[override]
        """Append the row of the epoch and write the file."""
        self.rows.append(
            {
                "epoch": trainer.current_epoch + 1,
                "step": trainer.global_step,
                "seconds": round(self.seconds, 3),
                "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
                "train_loss": float(pl_module.train_loss.compute()),
                **{f"validation_{name}": score for name, score in pl_module.scores.items()},
                **pl_module.section_scores,
            }
        )
        if is_better(self.rows[-1], self.rows[self.best], self.monitor, self.mode):
            self.best = len(self.rows) - 1
        if trainer.is_global_zero:
            write_atomically(self.path, to_csv(self.rows))

    def state_dict(self) -> dict[str, Any]:
        """Return the rows, the best index and the seconds."""
        return {"rows": list(self.rows), "best": self.best, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        self.rows, self.best = list(state_dict["rows"]), state_dict["best"]
        self._seconds_before = state_dict["seconds"]
