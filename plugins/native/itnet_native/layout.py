"""Padding of arrays for the library."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from itnet_native.library import ROW


def padded(tensor: Tensor, multiple: int = ROW, size: int = 0) -> Tensor:
    """Pad the last axis with zeros to a multiple that is at least `size`; the result is contiguous."""
    length = tensor.shape[-1]
    short = -(-max(length, size) // multiple) * multiple - length
    return (F.pad(tensor, [0, short]) if short else tensor).contiguous()
