"""Stack fields of different modalities along the batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from itnet_core import Field


def stack_fields(fields: Sequence[Field]) -> Field:
    """Stack fields of equal channels along the batch; smaller ones are padded with points of weight 0.

    Returns:
        A field of values (ΣB, max N, d).
    """
    points = max(field.values.shape[1] for field in fields)

    def along_batch(name: str) -> torch.Tensor:
        tensors = [getattr(field, name) for field in fields]
        padding = [[0, 0] * (tensor.ndim - 2) + [0, points - tensor.shape[1]] for tensor in tensors]
        return torch.cat([F.pad(tensor, pad) for tensor, pad in zip(tensors, padding, strict=True)])

    return Field(along_batch("values"), along_batch("positions"), along_batch("weights"))
