"""The Lightning trainer, configured by a `TrainConfig`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import DDPStrategy, Strategy

from itnet_core import ConfigError
from itnet_core.plugin.errors import did_you_mean
from itnet_train.config import TrainConfig
from itnet_train.console import progress_bars
from itnet_train.engine.sharded_strategy import ShardedStrategy


def create_trainer(
    config: TrainConfig,
    *,
    callbacks: Sequence[Callback] = (),
    logger: Any = False,
    profiler: Profiler | None = None,
    root: Path | None = None,
    find_unused_parameters: bool = False,
    progress: bool = True,
) -> Trainer:
    """Create a trainer that writes no files of its own.

    Args:
        config: the training section.
        callbacks: callbacks in the order in which they are called; those that save come last.
        logger: Lightning loggers, or `False`.
        profiler: a profiler, if any.
        root: Lightning's default root directory.
        find_unused_parameters: whether a batch may leave parameters unused, as in multi-task training.
        progress: whether progress is shown on a terminal.

    Raises:
        ConfigError: the devices are not available, do not support the precision, or a launcher started a number of
            processes other than the number of devices; or the processes that share points do not divide it.
    """
    _check_arguments(config.trainer)
    bars = progress_bars() if progress else []
    _ = config.degrees
    try:
        trainer = Trainer(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.nodes,
            strategy=_strategy(config, find_unused_parameters),
            precision=config.precision,
            deterministic=config.deterministic or None,
            max_epochs=config.epochs,
            accumulate_grad_batches=config.accumulate,
            log_every_n_steps=config.log_every,
            callbacks=[*callbacks, *bars],
            logger=logger,
            profiler=profiler,
            default_root_dir=root,
            enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
            enable_progress_bar=bool(bars),
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # TaskData gives each process its share
            **config.trainer,
        )
        processes = _count_processes(trainer)
    except TypeError as error:
        found, expected = f"{config.trainer}: {error}", "values that Lightning's Trainer takes"
        raise ConfigError("train.trainer", found=found, expected=expected) from error
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise ConfigError(
            "train.accelerator",
            found=f"{config.accelerator!r} with {config.devices} devices and precision {config.precision!r}: {error}",
            expected="devices and a precision that this machine supports",
        ) from error
    if processes != config.processes:
        several = config.nodes > 1
        launch = f"torchrun --nnodes {config.nodes} --nproc-per-node {config.devices} --rdzv-endpoint HOST:PORT"
        raise ConfigError(
            "train.devices",
            found=f"{processes} processes, started by torchrun or a cluster, for devices = {config.devices}"
            + (f" on each of {config.nodes} nodes" if several else ""),
            expected="one process for each device",
            hint=f"Start them on each node: {launch} -m itnet_registry train …"
            if several
            else f"Set train.devices={processes}, or start a single process, which starts those of the other devices.",
        )
    return trainer


def _strategy(config: TrainConfig, find_unused_parameters: bool) -> Strategy | str:
    if config.sharded:
        return ShardedStrategy()
    if config.processes == 1:
        return "auto"
    return DDPStrategy(find_unused_parameters=find_unused_parameters)


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    """Check the names of arguments of Lightning's `Trainer`."""
    known = list(signature(Trainer).parameters)
    for name in arguments.keys() - set(known):
        found, expected = "an argument that does not exist", "an argument of Lightning's Trainer"
        raise ConfigError(f"train.trainer.{name}", found=found, expected=expected, hint=did_you_mean(name, known))


def _count_processes(trainer: Trainer) -> int:
    """Return the number of processes that the trainer or a cluster's launcher starts."""
    environment = trainer._accelerator_connector.cluster_environment
    if isinstance(environment, LightningEnvironment):
        return int(os.environ.get("WORLD_SIZE", trainer.num_devices))
    return environment.world_size()
