"""The processes of a run, and those that are lost."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from functools import partial

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch import Trainer

from itnet_train.console import print_status
from itnet_train.errors import RunError

PATIENCE = 3.0
"""Seconds in which a process that broke a connection has ended, too."""

GRACE = 15.0
"""Seconds in which the first process reports that another one is lost, before it is killed."""


def is_watched(trainer: Trainer) -> bool:
    """Whether the first process started this one, and kills itself and all others if it ends with a code but 0."""
    environment = trainer._accelerator_connector.cluster_environment
    return isinstance(environment, LightningEnvironment) and trainer.local_rank > 0


def let_report(trainer: Trainer) -> None:
    """Give the first process `GRACE` to report the loss of another, before Lightning's thread kills it in silence."""
    for thread in threading.enumerate():
        if isinstance(thread, _ChildProcessObserver):
            thread._terminate_all = partial(_terminate, trainer, thread._terminate_all)  # type: ignore[method-assign]


def _terminate(trainer: Trainer, kill: Callable[[], None]) -> None:
    time.sleep(GRACE)  # where a collective operation fails, the process has ended by now
    if (lost := _find_ended(trainer)) is not None:
        print_status(f"error: {lost}")
    kill()


def find_lost_process(trainer: Trainer, error: RuntimeError) -> RunError | None:
    """Return an error that names the process whose end broke a collective operation; `None` if none did."""
    if trainer.world_size == 1 or not (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
        return None
    end = time.monotonic() + PATIENCE
    while trainer.strategy.launcher is not None and time.monotonic() < end:
        if (lost := _find_ended(trainer)) is not None:
            return lost
        time.sleep(0.05)
    return _lost(trainer, trainer.global_rank, "another process is lost")


def _find_ended(trainer: Trainer) -> RunError | None:
    """Return an error that names a process that this one started, and that ended with another code than 0."""
    for rank, process in enumerate(getattr(trainer.strategy.launcher, "procs", []), start=1):
        if code := process.poll():
            found = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            return _lost(trainer, rank, found, f", pid {process.pid}")
    return None


def _lost(trainer: Trainer, rank: int, found: str, pid: str = "") -> RunError:
    return RunError(
        f"{trainer.default_root_dir}: process {rank} of {trainer.world_size}{pid}",
        found=found,
        expected=f"{trainer.world_size} processes until the end",
        hint="What was saved before is intact, and --resume continues from it.",
    )
