"""The Lightning trainer, set up by a `TrainConfig`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint

from itnet_core.errors import ConfigError
from itnet_train.config import TrainConfig
from itnet_train.console import progress_bars


def new_trainer(
    config: TrainConfig, *, callbacks: Sequence[Callback] = (), logger: Any = False, root: Path | None = None
) -> Trainer:
    """Return a trainer that writes nothing by itself.

    Args:
        config: what it is set up by.
        callbacks: called in this order, those that save last.
        logger: Lightning's, or `False`.
        root: the directory that Lightning takes for its own.

    Raises:
        ConfigError: the devices are not there, or cannot compute with this precision.
    """
    bars = progress_bars()
    try:
        return Trainer(
            accelerator=config.accelerator,
            devices=config.devices,
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
    except (MisconfigurationException, ValueError) as error:
        raise ConfigError(
            "train.accelerator",
            found=f"{config.accelerator!r} with {config.devices} devices and precision {config.precision!r}: {error}",
            expected="what this machine has",
        ) from error
