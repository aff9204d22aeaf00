"""Find a device, and move batches to it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from itnet_core import ConfigError
from itnet_registry.errors import one_line


@runtime_checkable
class Movable(Protocol):
    """A container that is not a pytree but moves its own tensors, as tokenizers return."""

    def to(self, device: torch.device) -> Any:
        """Return the container on a device."""


def find_device(name: str | torch.device) -> torch.device:
    """Return a device of this machine; `auto` is a GPU if PyTorch can use one, else the CPU.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        torch.zeros(1, device=name).item()  # fails on devices without data, such as `meta`
        return torch.device(name)
    except Exception as error:  # torch raises several types for unknown names and absent devices
        found = f"{str(name)!r:.200} ({one_line(error):.200})"
        raise ConfigError("--device", found=found, expected="auto, cpu, or cuda or mps of this machine") from None


def move(batch: Any, device: torch.device) -> Any:
    """Return a batch, any pytree of tensors and other values, on a device."""

    def moved(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return leaf.to(device, non_blocking=True)
        return leaf.to(device) if isinstance(leaf, Movable) else leaf

    return tree_map(moved, batch)
