"""Lines of progress while nothing else is printed, where stderr is no terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from lightning.pytorch import Callback, Trainer

from itnet_train.console import print_status

SECONDS = 10.0
"""Seconds between two lines."""


class ProgressLines(Callback):
    """Prints a line every ten seconds in its context, during a long step too; a terminal has a progress bar instead.

    Args:
        hint: returns what to print once, with the first line, or "".
        seconds: between two lines.
    """

    def __init__(self, hint: Callable[[], str] = str, seconds: float = SECONDS) -> None:
        self.hint, self.seconds = hint, seconds
        self._place, self._done, self._total = "preparation", 0, 0
        self._loss: Any = None
        self._phase_started = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._print_lines, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start to count the steps of an epoch."""
        self._start(f"epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}", trainer.num_training_batches)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count a step, and keep its loss."""
        self._done = batch_idx + 1
        self._loss = outputs.get("loss") if isinstance(outputs, dict) else None  # {} after an empty batch

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start to count the batches of a validation."""
        self._start("validation", sum(trainer.num_val_batches))

    def on_validation_batch_end(self, *arguments: Any, **options: Any) -> None:
        """Count a batch."""
        self._done += 1

    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start to count the batches of the test."""
        self._start("test", sum(trainer.num_test_batches))

    def on_test_batch_end(self, *arguments: Any, **options: Any) -> None:
        """Count a batch."""
        self._done += 1

    def _start(self, place: str, total: float) -> None:
        self._place, self._done, self._total, self._loss = place, 0, int(total), None
        self._phase_started = time.monotonic()

    def _print_lines(self) -> None:
        while not self._ended.wait(self.seconds):
            if not sys.stderr.isatty():
                print_status(self._line())
            if hint := self.hint():
                print_status(f"hint: {hint}")
            self.hint = str  # which returns ""

    def _line(self) -> str:
        seconds = time.monotonic() - self._phase_started
        parts = [self._place]
        if self._total:
            parts.append(f"{self._done}/{self._total}")
        if self._loss is not None:
            parts.append(f"loss {float(self._loss):.4f}")
        parts.append(f"{seconds:.0f} s")
        if 0 < self._done < self._total:
            parts.append(f"{seconds / self._done * (self._total - self._done):.0f} s left")
        return "  ".join(parts)
