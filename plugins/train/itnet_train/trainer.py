"""The Lightning trainer, set up by a `TrainConfig`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint

from itnet_core import ConfigError
from itnet_train.config import TrainConfig
from itnet_train.console import progress_bars


def new_trainer(
    config: TrainConfig,
    *,
    callbacks: Sequence[Callback] = (),
    logger: Any = False,
    root: Path | None = None,
    part_unused: bool = False,
) -> Trainer:
    """Return a trainer that writes nothing by itself.

    Args:
        config: what it is set up by.
        callbacks: called in this order, those that save last.
        logger: Lightning's, or `False`.
        root: the directory that Lightning takes for its own.
        part_unused: whether a batch may leave parts of the model unused, as one of several tasks does.

    Raises:
        ConfigError: the devices are not there, or cannot compute with this precision; or a launcher started more or
            fewer processes than there are devices.
    """
    bars = progress_bars()
    try:
        trainer = Trainer(
            accelerator=config.accelerator,
            devices=config.devices,
            strategy="ddp_find_unused_parameters_true" if part_unused and config.devices > 1 else "auto",
            precision=config.precision,
            max_epochs=config.epochs,
            accumulate_grad_batches=config.accumulate,
            log_every_n_steps=config.log_every,
            callbacks=[*callbacks, *bars],
            logger=logger,
            default_root_dir=root,
            enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
            enable_progress_bar=bool(bars),
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # TaskData gives each process its share
        )
        processes = _processes(trainer)
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise ConfigError(
            "train.accelerator",
            found=f"{config.accelerator!r} with {config.devices} devices and precision {config.precision!r}: {error}",
            expected="what this machine has",
        ) from error
    if processes != config.devices:
        raise ConfigError(
            "train.devices",
            found=f"{processes} processes, started by torchrun or a cluster, for devices = {config.devices}",
            expected="one process for each device",
            hint=f"Set train.devices={processes}, or start one process alone: it starts those of the other devices.",
        )
    return trainer


def _processes(trainer: Trainer) -> int:
    """Return how many processes there are, or will be, whoever starts them: a cluster's launcher, or the trainer."""
    environment = trainer._accelerator_connector.cluster_environment
    if isinstance(environment, LightningEnvironment):
        return int(os.environ.get("WORLD_SIZE", trainer.num_devices))
    return environment.world_size()
