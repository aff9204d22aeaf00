"""Causal convolutions with sums of complex exponentials, chunk by chunk, as matrix products."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_kernels.numerics.scan import scan

CHUNK = 128
"""Points of a chunk: about twice the real numbers of a channel's states."""


def exponential_sums(rates: Tensor, residues: Tensor, values: Tensor) -> Tensor:
    """Compute Σ_{s ≤ t} Re Σ_n c_n e^{r_n (t − s)} v_s for each head, in O(T) time and memory.

    A chunk is summed by a Toeplitz matrix; chunks are connected by the states Σ_s e^{r_n (end − s)} v_s, which a scan
    advances. All but the scan are matrix products, so on CPUs it is several times as fast as two FFTs of 2 T points,
    and it is exactly causal.

    Args:
        rates: r, for a step of time, Re r ≤ 0, (heads, modes), complex in double precision.
        residues: c, (heads, modes), complex in double precision.
        values: v at consecutive steps, (B, T, heads, head_dim).

    Returns:
        Shape (B, T, heads, head_dim), in the dtype of the values; computed in float32 at least.
    """
    with torch.autocast(values.device.type, enabled=False):
        return _sums(rates, residues, values.to(torch.promote_types(values.dtype, torch.float32))).to(values.dtype)


def _sums(rates: Tensor, residues: Tensor, values: Tensor) -> Tensor:
    batch, steps, heads, width = values.shape
    size = min(CHUNK, steps)
    count = -(-steps // size)
    chunks = torch.unflatten(F.pad(values, (0, 0, 0, 0, 0, count * size - steps)), 1, (count, size))
    rows = chunks.permute(3, 0, 4, 1, 2).contiguous().view(heads, -1, size)  # (heads, B P K, c)
    numbers = torch.arange(size + 1, device=values.device)
    real, imaginary = _powers(rates, numbers, values.dtype)  # (heads, modes, c + 1)
    column = residues.unsqueeze(-1)
    c_real, c_imaginary = column.real.to(values.dtype), column.imag.to(values.dtype)
    # c e^{rl}; the sum is the real part of its product with the state
    read_real, read_imaginary = c_real * real - c_imaginary * imaginary, c_real * imaginary + c_imaginary * real
    profile = read_real[..., :size].sum(1)
    out = rows @ F.pad(profile, (size - 1, 0)).unfold(-1, size, 1).flip(1)
    if count > 1:
        write = torch.cat([real[..., :size], imaginary[..., :size]], dim=1).flip(-1)  # (heads, 2 modes, c)
        ends = (rows @ write.mT).view(heads, batch, width, count, 2, -1).permute(4, 1, 3, 0, 2, 5)
        factors = torch.complex(real[..., -1], imaginary[..., -1]).unsqueeze(1)  # (heads, 1, modes)
        states = scan(factors.expand(1, count - 1, *factors.shape), torch.complex(*ends[:, :, :-1]))
        starts = F.pad(torch.view_as_real(states), (0, 0) * 4 + (1, 0)).permute(2, 0, 3, 1, 5, 4)
        read = torch.cat([read_real[..., 1:], -read_imaginary[..., 1:]], dim=1)  # (heads, 2 modes, c)
        out = torch.baddbmm(out, starts.reshape(*rows.shape[:2], -1), read)
    out = out.view(heads, batch, width, count * size).permute(1, 3, 0, 2)
    return out[:, :steps].contiguous()


def _powers(rates: Tensor, numbers: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Compute the real and imaginary parts of e^{rate · number}, (*rates, numbers).

    Phases of many turns are reduced in double precision before the sines are taken in `dtype`.
    """
    size = (rates.real.unsqueeze(-1) * numbers).to(dtype).exp()
    turns = rates.imag.unsqueeze(-1) / (2 * pi) * numbers
    phase = 2 * pi * (turns - turns.detach().round()).to(dtype)
    return size * phase.cos(), size * phase.sin()
