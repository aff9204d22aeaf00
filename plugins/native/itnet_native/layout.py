"""Padding of arrays for the library."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from itnet_native.library import ROW


def padded(tensor: Tensor, multiple: int = ROW) -> Tensor:
    """Pad the last axis with zeros to a multiple; the result is contiguous."""
    short = -tensor.shape[-1] % multiple
    return (F.pad(tensor, [0, short]) if short else tensor).contiguous()
