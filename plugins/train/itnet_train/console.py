"""Progress and status messages on stderr."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar

from itnet_core import printable


def is_first_process() -> bool:
    """Whether this process prints and writes files; training on several devices starts more processes."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def print_status(message: str) -> None:
    """Print a line to stderr, above the progress bar. A full or closed stderr does not end a run."""
    if is_first_process():
        with suppress(OSError):
            print(printable(message), file=sys.stderr, flush=True)


def format_scores(scores: Mapping[str, float]) -> str:
    """Format scores for one line.

    Example:
        >>> format_scores({"loss": 0.12345, "accuracy": 1.0})
        'loss 0.1235  accuracy 1.0000'
    """
    return "  ".join(f"{name} {score:.4f}" for name, score in scores.items())


class EpochProgressBar(RichProgressBar):
    """Progress bar on stderr that counts epochs from 1, as the epoch lines do."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=10, console_kwargs={"stderr": True})

    def get_metrics(self, trainer: Trainer, pl_module: Any) -> dict[str, Any]:
        """Return the metrics to show: the training loss, without Lightning's version number."""
        metrics = super().get_metrics(trainer, pl_module)
        return {name.removeprefix("train/"): value for name, value in metrics.items() if name != "v_num"}

    def _get_train_description(self, current_epoch: int) -> str:
        return f"{f'epoch {current_epoch + 1}/{self.trainer.max_epochs}':{len(self.validation_description)}}"


def progress_bars() -> list[ProgressBar]:
    """Return a progress bar if stderr is a terminal, else an empty list."""
    return [EpochProgressBar()] if sys.stderr.isatty() else []


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's notes on devices, workers and services. Warnings about what it changes remain.

    An `OSError` in another thread is not printed: TensorBoard's writer raises it again in the trainer's thread.
    """
    excepthook = threading.excepthook
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    threading.excepthook = lambda fault: None if issubclass(fault.exc_type, OSError) else excepthook(fault)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
            warnings.filterwarnings("ignore", message="`training_step` returned `None`")  # for empty batches
            yield
    finally:
        threading.excepthook = excepthook
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
