"""Sums over the past of products that decay, chunk by chunk: state-space duality."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_kernels.scan import scan

CHUNK = 64
"""Points of a chunk: about as many as a head has channels, where both forms cost the same."""


def decayed_sums(queries: Tensor, keys: Tensor, values: Tensor, potentials: Tensor | None = None) -> Tensor:
    """Return Σ_{s ≤ t} ⟨q_t, k_s⟩ exp(L_t − L_s) v_s for points in the order of time, in O(T) time and memory.

    Within a chunk as a matrix of pairs, between chunks through the state Σ_s exp(L_end − L_s) k_s v_sᵀ, which a scan
    carries on: the block decomposition of Mamba-2 (Dao & Gu, arXiv 2405.21060, §6) and RetNet's chunkwise form (Sun et
    al., arXiv 2307.08621, eq. 7). Only differences of potentials are exponentiated, none of them positive.

    Args:
        queries: q, (B, T, groups, state).
        keys: k, (B, T, groups, state).
        values: v, (B, T, heads, head_dim); each group's q and k serve heads / groups heads that follow each other.
        potentials: L, falling, (B, T, heads), in float64 as from `timeline.potentials`; nothing decays by default.

    Returns:
        Shape (B, T, heads, head_dim).
    """
    (batch, steps, groups, _), (heads, head_dim) = queries.shape, values.shape[2:]
    size = min(CHUNK, steps)
    count = -(-steps // size)
    q, k = (_chunks(side, count, size).transpose(2, 3) for side in (queries, keys))  # (B, K, G, c, N)
    # v: (B, K, G, c, heads of a group, P)
    v = torch.unflatten(_chunks(values, count, size), 3, (groups, heads // groups)).transpose(2, 3)
    scores = (q @ k.transpose(-1, -2)).unsqueeze(3)  # (B, K, G, 1, c, c)
    past = torch.ones(size, size, dtype=torch.bool, device=values.device).tril()
    if potentials is None:
        pairs, late, one = torch.where(past, scores, 0.0), v, v.new_ones(())
        early = total = one.expand(1, count, 1, 1, 1)
    else:
        level = potentials if count * size == steps else _continued(potentials, count * size - steps)
        level = level.reshape(batch, count, size, groups, heads // groups).transpose(2, 3)
        end = level[:, :, :, -1:]  # (B, K, G, 1, heads of a group)
        before = torch.cat([level[:, :1, :, :1], end[:, :-1]], dim=1)  # at the last point of the chunk before
        levels = level.transpose(-1, -2)
        fall = (levels.unsqueeze(-1) - levels.unsqueeze(-2)).clamp(max=0).to(v.dtype)
        pairs = scores * torch.where(past, fall.exp(), 0.0)
        late = v * (end - level).exp().to(v.dtype).unsqueeze(-1)
        early = (level - before).exp().to(v.dtype)
        total = (end - before).exp().to(v.dtype).transpose(-1, -2)  # (B, K, G, heads of a group, 1)
        total = total.expand(*total.shape[:-1], head_dim).flatten(-2).unsqueeze(-2)
    out = (pairs @ v.transpose(3, 4)).transpose(3, 4)
    if count > 1:
        added = k.transpose(-1, -2) @ late.flatten(-2)  # (B, K, G, N, heads of a group × P)
        states = scan(total[:, :-1], added[:, :-1])
        out[:, 1:] += early[:, 1:].unsqueeze(-1) * torch.unflatten(q[:, 1:] @ states, -1, v.shape[-2:])
    return out.transpose(2, 3).reshape(batch, count * size, heads, head_dim)[:, :steps]


def _chunks(tensor: Tensor, count: int, size: int) -> Tensor:
    """Return (B, T, heads, d) as (B, count, size, heads, d), with 0 after the last step."""
    missing = count * size - tensor.shape[1]
    padded = F.pad(tensor, (0, 0, 0, 0, 0, missing)) if missing else tensor  # spare the copy
    return torch.unflatten(padded, 1, (count, size))


def _continued(potentials: Tensor, steps: int) -> Tensor:
    return torch.cat([potentials, potentials[:, -1:].expand(-1, steps, -1)], dim=1)
