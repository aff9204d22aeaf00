"""Causal convolution by FFT."""

from __future__ import annotations

import torch
from torch import Tensor


def causal_convolution(profile: Tensor, values: Tensor) -> Tensor:
    """Compute Σ_{l ≥ 0} k_l v_{t−l}, in O(T log T) time.

    Example:
        >>> causal_convolution(torch.tensor([[1.0, 0.5, 0.0]]), torch.ones(1, 3, 1, 1)).flatten()
        tensor([1.0000, 1.5000, 1.5000])

    Args:
        profile: k for each head, (heads, T).
        values: v, (B, T, heads, head_dim).

    Returns:
        Shape (B, T, heads, head_dim), in the dtype of the values; computed in float32 at least.
    """
    dtype, wide = values.dtype, torch.promote_types(values.dtype, torch.float32)
    profile, values = profile.to(wide), values.to(wide)
    steps = values.shape[1]
    size = 1 << (2 * steps - 1).bit_length()  # room for the wrap-around
    product = torch.fft.rfft(values.permute(0, 2, 3, 1), n=size) * torch.fft.rfft(profile, n=size).unsqueeze(1)
    return torch.fft.irfft(product, n=size)[..., :steps].permute(0, 3, 1, 2).to(dtype)
