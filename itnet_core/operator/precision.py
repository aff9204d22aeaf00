"""Dtypes for computations with positions."""

from __future__ import annotations

import torch
from torch import Tensor


def precise(tensor: Tensor) -> Tensor:
    """Return a tensor in float32 at least; half precision merges neighbouring points far from the origin.

    Example:
        >>> precise(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def exact_dtype(device: torch.device) -> torch.dtype:
    """Return float64, for phases that are reduced to a turn; float32 on Apple's GPUs, which lack float64.

    Example:
        >>> exact_dtype(torch.device("cpu"))
        torch.float64
    """
    return torch.float32 if device.type == "mps" else torch.float64
