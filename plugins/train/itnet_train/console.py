"""What a person sees while a run goes on, all on stderr."""

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
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar
from lightning.pytorch.utilities.exceptions import SIGTERMException

from itnet_core.plugin.printable import printable
from itnet_train.history import History


def is_first_process() -> bool:
    """Whether this is the process that speaks and writes; training on several devices starts more."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def say(message: str) -> None:
    """Write a line to stderr, above the progress bar if there is one; a stderr that is full or closed ends no run."""
    if is_first_process():
        with suppress(OSError):
            print(printable(message), file=sys.stderr, flush=True)


def shown(scores: Mapping[str, float]) -> str:
    """Return scores for a line: `loss 0.1234  accuracy 0.9876`."""
    return "  ".join(f"{name} {score:.4f}" for name, score in scores.items())


class EpochLines(Callback):
    """Writes a line after each epoch; a star marks the best so far."""

    def __init__(self, history: History) -> None:
        self.history = history

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Write the epoch's line."""
        row = self.history.rows[-1]
        scores = {name.removeprefix("validation_"): row[name] for name in row if name.startswith("validation_")}
        say(
            f"epoch {row['epoch']:>3}/{trainer.max_epochs}  train loss {row['train_loss']:.4f}  "
            f"validation {shown(scores)}  {row['seconds']:.1f} s{'  *' if self.history.improved else ''}"
        )

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Say how to go on after an interruption."""
        if isinstance(exception, KeyboardInterrupt | SIGTERMException):
            say(f"interrupted in epoch {trainer.current_epoch + 1}; --resume goes on from the last save")


class Bar(RichProgressBar):
    """A progress bar on stderr that counts epochs from 1, as the lines do."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=10, console_kwargs={"stderr": True})

    def get_metrics(self, trainer: Trainer, pl_module: Any) -> dict[str, Any]:
        """Return the loss alone."""
        metrics = super().get_metrics(trainer, pl_module)
        return {name.removeprefix("train/"): value for name, value in metrics.items() if name != "v_num"}

    def _get_train_description(self, current_epoch: int) -> str:
        return f"{f'epoch {current_epoch + 1}/{self.trainer.max_epochs}':{len(self.validation_description)}}"


def progress_bars() -> list[ProgressBar]:
    """Return a progress bar if stderr is a terminal, else none."""
    return [Bar()] if sys.stderr.isatty() else []


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Lightning says of devices, workers and services; what it changes by itself it still says.

    A thread that the operating system refuses something is silent too: TensorBoard's raises it again in the trainer's.
    """
    tell = threading.excepthook
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    threading.excepthook = lambda fault: None if issubclass(fault.exc_type, OSError) else tell(fault)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
            warnings.filterwarnings("ignore", message="`training_step` returned `None`")  # for batches left out
            yield
    finally:
        threading.excepthook = tell
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
