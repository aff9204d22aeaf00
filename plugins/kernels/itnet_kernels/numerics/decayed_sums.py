"""Decayed sums over the past, chunk by chunk: state-space duality."""

from __future__ import annotations

from math import inf, log

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_kernels.numerics.scan import scan

CHUNK = 64
"""Points of a chunk: about the channels of a head, where both forms cost the same."""

LEAST_CHUNK = 16
"""Points of the smallest chunk before decays are computed pair by pair."""


def decayed_sums(queries: Tensor, keys: Tensor, values: Tensor, potentials: Tensor | None = None) -> Tensor:
    """Compute Σ_{s ≤ t} ⟨q_t, k_s⟩ exp(L_t − L_s) v_s for points in the order of time, in O(T) time and memory.

    A chunk is summed by a matrix of pairs; chunks are connected by the state Σ_s exp(L_end − L_s) k_s v_sᵀ, which a
    scan advances. This is the block decomposition of Mamba-2 (Dao & Gu, arXiv 2405.21060, §6) and RetNet's chunkwise
    form (Sun et al., arXiv 2307.08621, eq. 7).

    With L counted from the start of a chunk, exp(L_t − L_s) = exp(L_t) exp(−L_s), and all heads of a group share one
    matrix of pairs. That is used where every exp(−L_s) is well within the range of the dtype, with shorter chunks if
    need be; otherwise decays are computed pair by pair, and only differences ≤ 0 are exponentiated.

    Args:
        queries: q, (B, T, groups, state).
        keys: k, (B, T, groups, state).
        values: v, (B, T, heads, head_dim); each group's q and k serve heads / groups consecutive heads. With one head
            of values each group has the same.
        potentials: L, decreasing, (B, T, heads), in float64 as from `timeline.potentials`; without decay by default.

    Returns:
        Shape (B, T, heads, head_dim).
    """
    batch, steps, groups, _ = queries.shape
    values = values.expand(-1, -1, max(groups, values.shape[2]), -1)
    heads, head_dim = values.shape[2:]
    if potentials is None:
        potentials = values.new_zeros(batch, 1, heads, dtype=torch.float64).expand(-1, steps, -1)
    size, separable = _chunk_size(potentials, values.dtype)
    count = -(-steps // size)
    q, k = (_split(side, count, size).transpose(2, 3) for side in (queries, keys))  # (B, K, G, c, N)
    # v: (B, K, G, c, heads of a group, P)
    v = torch.unflatten(_split(values, count, size), 3, (groups, heads // groups)).transpose(2, 3)
    level = potentials if count * size == steps else _extend(potentials, count * size - steps)
    level = level.reshape(batch, count, size, groups, heads // groups).transpose(2, 3)
    end = level[:, :, :, -1:]  # (B, K, G, 1, heads of a group)
    start = torch.cat([level[:, :1, :, :1], end[:, :-1]], dim=1)  # at the last point of the previous chunk
    # (…, heads of a group, 1)
    early, total = ((levels - start).exp().to(v.dtype).unsqueeze(-1) for levels in (level, end))
    scores = q @ k.transpose(-1, -2)  # (B, K, G, c, c)
    if separable:
        grown = (v * (start - level).exp().to(v.dtype).unsqueeze(-1)).flatten(-2)
        out = early * torch.unflatten(scores.tril() @ grown, -1, v.shape[-2:])
        added = k.transpose(-1, -2) @ grown  # (B, K, G, N, heads of a group × P)
        # A chunk's contribution is relative to its start, as is the state that it adds to: both decay at its end.
        read, decay = early[:, 1:] * total[:, :-1], torch.cat([total[:, :1], total[:, :-1]], dim=1)
    else:
        out = _sum_pair_by_pair(scores, level, v)
        added = k.transpose(-1, -2) @ (v * (end - level).exp().to(v.dtype).unsqueeze(-1)).flatten(-2)
        read, decay = early[:, 1:], total
    if count > 1:
        states = scan(decay.expand_as(v[:, :, :, :1]).flatten(-2)[:, :-1], added[:, :-1])
        out[:, 1:] += read * torch.unflatten(q[:, 1:] @ states, -1, v.shape[-2:])
    return out.transpose(2, 3).reshape(batch, count * size, heads, head_dim)[:, :steps]


def _chunk_size(potentials: Tensor, dtype: torch.dtype) -> tuple[int, bool]:
    """Return the points of a chunk, and whether exp(−L) stays in range within each chunk, with room for its factors."""
    size, steps = min(CHUNK, potentials.shape[1]), potentials.shape[1]
    if torch.compiler.is_compiling():  # reading numbers would break the graph
        return size, False
    most = 0.7 * log(torch.finfo(dtype).max)
    fall = potentials.detach()
    while size >= min(LEAST_CHUNK, steps):
        ends = fall[:, size - 1 :: size]
        falls = torch.cat([fall[:, :1] - ends[:, :1], ends[:, :-1] - ends[:, 1:], ends[:, -1:] - fall[:, -1:]], dim=1)
        if bool(falls.max() <= most):
            return size, True
        size //= 2
    return min(CHUNK, steps), False


def _sum_pair_by_pair(scores: Tensor, level: Tensor, v: Tensor) -> Tensor:
    """Sum within chunks, (B, K, G, c, heads of a group, P); v has that shape, the levels have it without P.

    Levels relative to the chunk's end are split into a number of v's dtype and a remainder, so that their differences
    are as exact as in float64 and take half the memory.
    """
    level = (level - level[:, :, :, -1:]).transpose(-1, -2)
    most = level.to(v.dtype)
    rest = (level - most).to(v.dtype)
    future = torch.full(scores.shape[-2:], -inf, dtype=v.dtype, device=v.device).triu(1)
    fall = most.unsqueeze(-1) - most.unsqueeze(-2)
    fall += rest.unsqueeze(-1)
    fall -= rest.unsqueeze(-2)
    fall += future
    pairs = scores.unsqueeze(3) * fall.exp_()
    return (pairs @ v.transpose(3, 4)).transpose(3, 4)


def _split(tensor: Tensor, count: int, size: int) -> Tensor:
    """Split (B, T, heads, d) into (B, count, size, heads, d), padded by 0 after the last step."""
    missing = count * size - tensor.shape[1]
    padded = F.pad(tensor, (0, 0, 0, 0, 0, missing)) if missing else tensor  # spare the copy
    return torch.unflatten(padded, 1, (count, size))


def _extend(potentials: Tensor, steps: int) -> Tensor:
    return torch.cat([potentials, potentials[:, -1:].expand(-1, steps, -1)], dim=1)
