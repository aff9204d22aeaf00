"""Position encodings of attention: rotation of queries and keys, and ALiBi's slopes."""

from __future__ import annotations

import torch
from torch import Tensor

from itnet_core import exact_dtype


def rotate(heads: Tensor, positions: Tensor) -> Tensor:
    """Rotate channels i and i + d/2 by the angle position · 10000^(−2i/d) (Su et al., arXiv 2104.09864, §3.2.2).

    The angles are computed in float64: in float32 their rounding would show at distant positions.

    Args:
        heads: queries or keys, (B, N, heads, d), with an even d.
        positions: (B, N).

    Returns:
        Shape (B, N, heads, d).
    """
    half = heads.shape[-1] // 2
    steps = torch.arange(half, dtype=exact_dtype(heads.device), device=heads.device)
    angles = positions[..., None, None].to(steps.dtype) * 10000 ** (-steps / half)
    cos, sin = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
    first, second = heads.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def alibi_slopes(heads: int) -> Tensor:
    """Return ALiBi's slopes 2^(−8h/heads), h = 1 … heads, shape (heads,), in float64 (Press et al., arXiv 2108.12409).

    Example:
        >>> alibi_slopes(4)
        tensor([0.2500, 0.0625, 0.0156, 0.0039], dtype=torch.float64)
    """
    return 2 ** (-8 * torch.arange(1, heads + 1, dtype=torch.float64) / heads)
