"""What a checkpoint says of a user's files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from itnet_core import ConfigError
from itnet_registry import load_model
from itnet_registry.errors import one_line
from itnet_train.batches import collate
from itnet_train.selection import task_of


@dataclass(frozen=True)
class Prediction:
    """What came of one file.

    Attributes:
        file: the file.
        record: the task's description of the prediction; `None` if there is none.
        error: why there is none.
    """

    file: Path
    record: dict[str, Any] | None = None
    error: str | None = None


def predict(
    checkpoint: str | PathLike[str],
    files: Iterable[str | PathLike[str]],
    *,
    modality: str | None = None,
    device: str = "cpu",
) -> list[Prediction]:
    """Predict files one by one. A file that cannot be read or predicted does not keep others from it.

    Args:
        checkpoint: a checkpoint's directory, such as `best` of a run.
        files: of the kind that the task reads.
        modality: which task, for a model of several.
        device: where to compute.

    Raises:
        ITNetError: the checkpoint, its task or the device cannot be used.
    """
    place = _device(device)
    model = load_model(checkpoint).to(place)
    task = task_of(model, modality)

    def predict_one(file: Path) -> Prediction:
        try:
            batch = collate(task, [task.read(file)]).to(place).batch
            with torch.inference_mode():
                [record] = task.describe(model(batch.inputs, task.modality))
        except Exception as error:  # whatever a file makes a task, an encoder or a decoder raise, it is that file's
            return Prediction(file, error=f"{type(error).__name__}: {error}")
        return Prediction(file, record)

    return [predict_one(file) for file in map(Path, files)]


def _device(name: str) -> torch.device:
    """Return a device of this machine by its name."""
    try:
        torch.zeros(1, device=name).item()  # which `meta`, for one, does not have
        return torch.device(name)
    except Exception as error:  # of many kinds: of a name that is none, and of a device that is not there
        found = f"{name!r:.200} ({one_line(error):.200})"
        raise ConfigError("--device", found=found, expected="cpu, or cuda or mps of this machine") from None
