"""Convolution over the past by FFT."""

from __future__ import annotations

import torch
from torch import Tensor


def causal_convolution(profile: Tensor, values: Tensor) -> Tensor:
    """Return Σ_{l ≥ 0} k_l v_{t−l}, in O(T log T) time.

    Args:
        profile: k, one for each head, (heads, T).
        values: v, (B, T, heads, head_dim).

    Returns:
        Shape (B, T, heads, head_dim), in the dtype of the values; computed in float32 at least.
    """
    dtype, precise = values.dtype, torch.promote_types(values.dtype, torch.float32)
    profile, values = profile.to(precise), values.to(precise)
    steps = values.shape[1]
    size = 1 << (2 * steps - 1).bit_length()  # room for what would wrap around
    along = values.permute(0, 2, 3, 1)
    product = torch.fft.rfft(along, n=size) * torch.fft.rfft(profile, n=size).unsqueeze(1)
    return torch.fft.irfft(product, n=size)[..., :steps].permute(0, 3, 1, 2).to(dtype)
