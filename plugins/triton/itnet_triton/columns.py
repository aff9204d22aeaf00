"""How the features of a point stand in the columns that the kernels multiply."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Columns:
    """WIDTH columns for R features: one each, or three each for those that half precision is too coarse for.

    Half precision has 8 or 11 bits. That is enough for features that enter sums of many, but positions far apart beside
    a narrow kernel would move by more than its width. So a feature f is split into high and low parts, f = f' + f'',
    and a product is φ'ψ' + φ''ψ' + φ'ψ'' in three columns, with an error of the size of φ''ψ''.

    Attributes:
        place: shape (R, WIDTH), 1 where a column belongs to a feature.
        low: which columns hold the low part of φ, and of ψ, (WIDTH,) each; `None` where nothing is split.
    """

    place: Tensor
    low: tuple[Tensor, Tensor] | None

    def spread(self, terms: Tensor, dtype: torch.dtype, side: int) -> Tensor:
        """Return features multiplied by `place`, (…, WIDTH), in `dtype`, with the parts of a side (φ 0, ψ 1)."""
        high = terms.to(dtype)
        return high if self.low is None else torch.where(self.low[side], (terms - high).to(dtype), high)

    def gather(self, side: int) -> Tensor:
        """Return (WIDTH, R): what a gradient of a side's columns is multiplied by for that of its features."""
        place = self.place if self.low is None else self.place.masked_fill(self.low[side], 0.0)
        return place.T


@lru_cache(maxsize=64)
def columns(features: int, exact: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Columns:
    """Return the columns for R features, those in `exact` split: a power of two of them, at least 16.

    Args:
        features: R.
        exact: features to split.
        dtype: of the matrices that are built.
        device: where they are to be.
    """
    entries = [(f, side) for f in range(features) for side in ((None, 0, 1) if f in exact else (None,))]
    width = max(16, 1 << (len(entries) - 1).bit_length())
    place = torch.zeros(features, width, dtype=dtype)
    low = torch.zeros(2, width, dtype=torch.bool)
    for column, (feature, side) in enumerate(entries):
        place[feature, column] = 1.0
        if side is not None:
            low[side, column] = True
    split = (low[0].to(device), low[1].to(device)) if exact else None
    return Columns(place.to(device), split)
