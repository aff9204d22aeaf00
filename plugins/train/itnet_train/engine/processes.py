"""The processes of a run, and those that are lost."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch import Trainer

from itnet_train.console import print_status

PATIENCE = 3.0
"""Seconds in which a process that broke a connection has ended, too."""

GRACE = 15.0
"""Seconds in which the first process reports that another one is lost, before it is killed."""


class LostProcess(NamedTuple):
    """A process that ended before the others, in the words of an error."""

    place: str
    found: str
    expected: str


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
        print_status(f"error: {lost.place}: found {lost.found}; expected {lost.expected}")
    kill()


def find_lost_process(trainer: Trainer, error: RuntimeError) -> LostProcess | None:
    """Return the process whose end broke a collective operation; `None` if the error has another reason."""
    world = trainer.world_size
    if world == 1 or not (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
        return None
    end = time.monotonic() + PATIENCE
    while trainer.strategy.launcher is not None and time.monotonic() < end:
        if (lost := _find_ended(trainer)) is not None:
            return lost
        time.sleep(0.05)
    expected = f"{world} processes until the end"
    return LostProcess(f"process {trainer.global_rank} of {world}", "another process is lost", expected)


def _find_ended(trainer: Trainer) -> LostProcess | None:
    """Return a process that this one started, and that ended with another code than 0."""
    world, launched = trainer.world_size, getattr(trainer.strategy.launcher, "procs", [])
    for rank, process in enumerate(launched, start=1):
        if code := process.poll():
            found = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            place = f"process {rank} of {world}, pid {process.pid}"
            return LostProcess(place, found, expected=f"{world} processes until the end")
    return None
