"""Find a device."""

from __future__ import annotations

import torch

from itnet_core import ConfigError
from itnet_registry.errors import one_line


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
