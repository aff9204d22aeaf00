"""MixUp and CutMix: batches of images that are mixed, with the class probabilities as targets."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from itnet_core import Batch, ConfigError, Task
from itnet_train.config import TrainConfig

Mixing = Callable[[Batch], Batch]


def create_mixing(task: Task, config: TrainConfig) -> Mixing | None:
    """Return a function that mixes the images of a training batch, or `None` if the configuration asks for none.

    Raises:
        ConfigError: the task's loss does not accept class probabilities, or torchvision is not installed.
    """
    field = "mixup" if config.mixup else "cutmix"
    if not (config.mixup or config.cutmix):
        return None
    if not task.accepts_probabilities:
        raise ConfigError(
            f"train.{field}",
            found=f"{getattr(config, field)}, with {type(task).__name__}, whose loss has no class probabilities",
            expected="0, or a task of one class per image",
        )
    if find_spec("torchvision") is None:
        raise ConfigError(
            f"train.{field}",
            found=f"{getattr(config, field)}, and torchvision is not installed",
            expected="0, or torchvision",
            hint="Install it with: pip install 'itnet-train[torchvision]'",
        )
    from torchvision.transforms import v2

    classes = int(task.head["classes"])
    mixup, cutmix = (v2.MixUp, config.mixup), (v2.CutMix, config.cutmix)
    mix = v2.RandomChoice([kind(alpha=alpha, num_classes=classes) for kind, alpha in (mixup, cutmix) if alpha])

    def mixed(batch: Batch) -> Batch:
        if not _are_images(batch.inputs):
            found = f"{getattr(config, field)}, with inputs that are not a tensor of images"
            raise ConfigError(f"train.{field}", found=found, expected="0, or inputs of shape (B, C, H, W)")
        return Batch(*mix(batch.inputs, batch.targets))

    return mixed


def _are_images(inputs: Any) -> bool:
    return isinstance(inputs, Tensor) and inputs.is_floating_point() and inputs.ndim == 4
