"""Loggers and the profiler, by name."""

from __future__ import annotations

import os
from importlib.util import find_spec

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

from itnet_core import ConfigError
from itnet_train.config import LoggerName, TrainConfig
from itnet_train.storage.directory import RunDirectory

PROFILERS: dict[str, type[Profiler]] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    "pytorch": PyTorchProfiler,
}


def check_loggers(config: TrainConfig) -> None:
    """Check that the libraries of the loggers are installed.

    Raises:
        ConfigError: one of them is not.
    """
    for name in config.loggers:
        if name in ("wandb", "mlflow") and find_spec(name) is None:
            hint = f"Install it with: pip install 'itnet-train[{name}]'"
            found = f"{name!r}, which is not installed"
            raise ConfigError("train.loggers", found=found, expected="loggers that are installed", hint=hint)
    if "wandb" in config.loggers and not _is_logged_in():
        hint = "Run wandb login, or set WANDB_MODE=offline."
        raise ConfigError("train.loggers", found="'wandb' without an API key", expected="an account", hint=hint)


def _is_logged_in() -> bool:
    """Whether Weights & Biases has a key, or needs none."""
    import wandb

    return os.environ.get("WANDB_MODE", "online") in ("offline", "disabled") or bool(wandb.api.api_key)


def create_loggers(config: TrainConfig, directory: RunDirectory) -> list[Logger]:
    """Return the loggers, which write to folders of the run directory and to where their environment says.

    Raises:
        ConfigError: the library of one of them is not installed.
    """
    check_loggers(config)
    return [_create_logger(name, directory) for name in config.loggers]


def _create_logger(name: LoggerName, directory: RunDirectory) -> Logger:
    match name:
        case "tensorboard":
            return TensorBoardLogger(directory.path, name="", version=name)
        case "csv":
            return CSVLogger(directory.path, name=name)  # a folder for each call, because it would replace the file
        case "wandb":
            return WandbLogger(name=directory.path.name, save_dir=directory.path)
        case "mlflow":
            uri = os.environ.get("MLFLOW_TRACKING_URI", (directory.path / name).absolute().as_uri())
            return MLFlowLogger("itnet", run_name=directory.path.name, tracking_uri=uri)


def create_profiler(config: TrainConfig, directory: RunDirectory) -> Profiler | None:
    """Return the profiler, which writes to the folder `profile` of the run directory."""
    kind = PROFILERS.get(config.profiler or "")
    return None if kind is None else kind(dirpath=directory.path / "profile", filename="profile")
