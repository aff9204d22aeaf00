"""Callback that ends training on a signal, at the same step in all processes."""

from __future__ import annotations

import signal
import threading
from typing import Any

from lightning.pytorch import Callback, Trainer

from itnet_train.callbacks.stopping import completes_step
from itnet_train.engine.processes import let_report

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""Signals of schedulers: end now, and end soon."""


class Termination(Callback):
    """Ends training after the optimizer step in which any process received SIGTERM or SIGUSR1.

    Lightning's handler of SIGTERM calls a collective, in whatever the process is doing; the processes then hang where
    one is ahead of the other. This one remembers the signal, and the processes ask one another after each step. Put it
    before the callback that saves: that one saves the state where training ends.
    """

    def __init__(self) -> None:
        self._received = False

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Replace the handlers that Lightning has set by now; at the end it restores those before."""
        let_report(trainer)
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._remember)

    def _remember(self, number: int, frame: Any) -> None:
        self._received = True

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Let Lightning end training if a process received a signal; the last batch leaves it to the next epoch."""
        if trainer.is_last_batch or not completes_step(trainer, batch_idx):
            return
        if trainer.strategy.reduce_boolean_decision(self._received, all=False):
            trainer._signal_connector.received_sigterm = True
