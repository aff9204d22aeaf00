"""Memory layout for the library: keys in blocks along the last axis, rows padded to whole vectors."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from itnet_native.library import KEYS, ROW


def blocks(tensor: Tensor, fill: float = 0.0) -> Tensor:
    """Reshape (B, M, …) to (B, blocks, KEYS, …), with `fill` after the last key."""
    short = -tensor.shape[1] % KEYS
    if short:
        tensor = F.pad(tensor, [0, 0] * (tensor.ndim - 2) + [0, short], value=fill)
    return tensor.reshape(len(tensor), -1, KEYS, *tensor.shape[2:])


def across(tensor: Tensor) -> Tensor:
    """Reshape (B, M, …) to (B, blocks, …, KEYS), contiguous."""
    return blocks(tensor).movedim(2, -1).contiguous()


def down(tensor: Tensor, keys: int) -> Tensor:
    """Reshape (B, blocks, …, KEYS) to (B, M, …): the inverse of `across`."""
    return tensor.movedim(-1, 2).flatten(1, 2)[:, :keys]


def padded(tensor: Tensor, multiple: int = ROW, axis: int = -1, size: int = 0) -> Tensor:
    """Pad an axis with zeros to a multiple that is at least `size`."""
    length = tensor.shape[axis]
    short = -(-max(length, size) // multiple) * multiple - length
    return F.pad(tensor, [0, 0] * (-axis - 1) + [0, short]) if short else tensor
