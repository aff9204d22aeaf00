"""Predict files with a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from itnet_core import ConfigError
from itnet_registry import load_model
from itnet_registry.build.tasks import create_task
from itnet_registry.errors import one_line
from itnet_train.data.batches import collate


@dataclass(frozen=True)
class Prediction:
    """The prediction for one file, or the error that prevented it.

    Example:
        >>> from itnet_registry import create_model, save_model
        >>> encoder = {"name": "patch", "patch_size": 2}
        >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, task="digits"), "digits")
        >>> [prediction] = predict("digits", ["missing.png"])
        >>> prediction.record is None, prediction.error
        (True, 'DataError: missing.png: found no such file; ...')
    """

    file: Path
    """The file."""
    record: dict[str, Any] | None = None
    """The task's description of the prediction; `None` after an error."""
    error: str | None = None
    """The error, or `None`."""


def predict(
    checkpoint: str | PathLike[str],
    files: Iterable[str | PathLike[str]],
    *,
    modality: str | None = None,
    device: str = "cpu",
) -> list[Prediction]:
    """Predict files one by one. A file that cannot be predicted does not stop the others.

    Example:
        >>> from PIL import Image
        >>> from itnet_registry import create_model, save_model
        >>> encoder = {"name": "patch", "patch_size": 2}
        >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, task="digits"), "digits")
        >>> Image.new("L", (8, 8)).save("7.png")
        >>> [prediction] = predict("digits", ["7.png"])
        >>> prediction.record
        {'label': ..., 'probability': ..., 'likeliest': {...}}

    Args:
        checkpoint: a checkpoint directory, such as `best` in a run directory.
        files: files of the kind that the task reads.
        modality: the task of a multi-task model.
        device: the device to compute on.

    Raises:
        ITNetError: the checkpoint, its task or the device cannot be used.
    """
    target = _find_device(device)
    model = load_model(checkpoint).to(target)
    task = create_task(model, modality)

    def predict_one(file: Path) -> Prediction:
        try:
            batch = collate(task, [task.read(file)]).to(target).batch
            with torch.inference_mode():
                [record] = task.describe(model(batch.inputs, task.modality))
        except Exception as error:  # of the task, the encoder or a decoder: it concerns this file alone
            return Prediction(file, error=f"{type(error).__name__}: {error}")
        return Prediction(file, record)

    return [predict_one(file) for file in map(Path, files)]


def _find_device(name: str) -> torch.device:
    """Return a device of this machine by its name."""
    try:
        torch.zeros(1, device=name).item()  # fails on devices without data, such as `meta`
        return torch.device(name)
    except Exception as error:  # torch raises several types for unknown names and absent devices
        found = f"{name!r:.200} ({one_line(error):.200})"
        raise ConfigError("--device", found=found, expected="cpu, or cuda or mps of this machine") from None
