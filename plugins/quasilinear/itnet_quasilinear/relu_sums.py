"""Σ_c W_c ∘ Σ_j relu(a_ci + b_cj) u_j for all i, by sorting.

For one hidden unit, put the −a_i of the queries and the b_j of the keys on one line and sort them: s_1 ≤ s_2 ≤ … . Then

    F(p) = Σ_{q > p} (s_q − s_p) U_q,   U_q = u_j for a key and 0 for a query,

is the sum Σ_j relu(a_i + b_j) u_j where p is query i. Going down the line, S₀ ← S₀ + U_q and F ← F + gap · S₀: no
coefficient is negative, unlike in a S₀(−a) + S₁(−a), the same number from prefix sums of u and b u, which are large and
cancel. The line is cut into chunks. Within a chunk F is the product of the matrix relu(s_q − s_p) and U. The keys above
the chunk add (t − s_p) S₀ + F(t), where t is the chunk's last s, as two more rows of the same product. Only these
carries are accumulated over the whole line, in float64. The error is therefore that of summing one chunk in the dtype's
arithmetic, for any number of points (`tests/test_relu_sums.py`).

With g the gradient of the result, G_p = g_i for a query and 0 for a key, the gradients are sums along the same line:

    of u_j:        Σ_c W_c ∘ H_c(q),   H(q) = Σ_{p < q} (s_q − s_p) G_p         (q is key j)
    of W_c:        Σ_j u_j ∘ H_c(q)
    of b_cj:       ⟨W_c ∘ U_q, Σ_{p < q} G_p⟩ = Σ_{p < q} K_pq,   K_pq = ⟨W_c ∘ G_p, U_q⟩
    of a_ci:       ⟨W_c ∘ G_p, Σ_{q > p} U_q⟩ = Σ_{q > p} K_pq

At ties keys come before queries, so that relu′(0) = 0 as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_core import refuse_second_derivatives

CHUNK = 32
"""Points per chunk. Larger chunks need more operations per point; smaller ones make products inefficient and carries
frequent."""

CPU_BYTES = 32 << 20
GPU_BYTES = 512 << 20
"""Approximate largest size of a tensor of gathered points; at least one hidden unit is processed at a time."""


def relu_sums(a: Tensor, b: Tensor, second: Tensor, u: Tensor) -> Tensor:
    """Compute Σ_c W_c ∘ Σ_j relu(a_ci + b_cj) u_j, shape (B, N, d).

    Args:
        a: shape (B, N, hidden).
        b: shape (B, M, hidden).
        second: W, shape (hidden, d).
        u: shape (B, M, d).
    """
    line = torch.cat([b, -a], dim=1).permute(2, 0, 1)  # (hidden, B, M + N): keys first, for ties
    return _ReluSums.apply(line.contiguous(), second, u)


class _Sorted:
    """The lines of some hidden units, sorted and cut into G chunks of T points.

    Attributes:
        s: shape (units, B, G, T); the last chunk is padded with its largest number.
        points: the index in its sample of the point at each place, keys first; M + N for padding.
    """

    def __init__(self, line: Tensor, order: Tensor, chunk: int) -> None:
        length = line.shape[-1]
        fill = -length % chunk
        self.order = order
        s = line.gather(-1, order)
        s = torch.cat([s, s[..., -1:].expand(*s.shape[:-1], fill)], dim=-1)
        self.s = s.view(*s.shape[:-1], -1, chunk)
        self.points = F.pad(order, (0, fill), value=length).view_as(self.s)
        self.chunk, self.length = chunk, length

    def gathered(self, table: Tensor, points: Tensor, slots: int) -> Tensor:
        """Gather rows of a table (B, rows + 1, d) as (units, B, G, T + slots, d); its last row is for padding.

        The slots, after each chunk's points, also hold the last row.
        """
        batch, rows = table.shape[:2]
        start = torch.arange(batch, device=points.device).view(1, -1, 1, 1) * rows
        index = F.pad(points, (0, slots), value=rows - 1) + start
        return table.flatten(0, 1).index_select(0, index.flatten()).view(*index.shape, -1)

    def places(self, points: slice, slots: int) -> Tensor:
        """Return the indices of some points among the places of all samples, B·G·(T + slots), as (units, B·points)."""
        rank = torch.empty_like(self.order)
        numbers = torch.arange(self.length, device=rank.device).expand_as(rank)
        rank = rank.scatter_(-1, self.order, numbers)[..., points]
        index = rank + slots * (rank // self.chunk)
        samples = torch.arange(index.shape[1], device=index.device).unsqueeze(-1)
        return (index + samples * (self.s.shape[2] * (self.chunk + slots))).flatten(1)


class _ReluSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, line: Tensor, second: Tensor, u: Tensor) -> Tensor:
        batch, keys, d = u.shape
        order = line.argsort(dim=-1, stable=True)
        table = F.pad(u, (0, 0, 0, 1))
        out = u.new_zeros(batch * (line.shape[-1] - keys), d)
        for units, chunk in _units(line, d):
            part = _Sorted(line[units], order[units], chunk)
            rows = part.gathered(table, part.points.clamp(max=keys), 2).mul_(second[units][:, None, None, None])
            upward = _upward(part.s, rows)
            for sums, places in zip(upward, part.places(slice(keys, None), 2), strict=True):
                out += sums.index_select(0, places)
        ctx.save_for_backward(line, order, second, u)
        return out.view(batch, -1, d)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives("SortedEvaluator", grad)
        line, order, second, u = ctx.saved_tensors
        keys, d = u.shape[1:]
        table = F.pad(torch.cat([u, grad], dim=1), (0, 0, 0, 1))
        grad_line, grad_second = torch.empty_like(line), torch.empty_like(second)
        grad_u = u.new_zeros(u.shape).flatten(0, 1)
        for units, chunk in _units(line, d):
            part = _Sorted(line[units], order[units], chunk)
            rows = part.gathered(table, part.points, 3)
            downward, slopes = _both_ways(part.s, rows, part.points < keys, second[units])
            slopes = slopes.flatten(2)[..., : part.length]
            grad_line[units] = torch.empty_like(slopes).scatter_(-1, part.order, slopes)
            where = part.places(slice(0, keys), 3)
            for unit, sums, places in zip(range(len(line))[units], downward, where, strict=True):
                sums = sums.index_select(0, places)
                grad_u.addcmul_(sums, second[unit])
                grad_second[unit] = (sums * u.flatten(0, 1)).sum(0)
        return grad_line, grad_second, grad_u.view_as(u)


def _upward(s: Tensor, rows: Tensor) -> Tensor:
    """Compute F(p) at every place, (units, B·G·(T + 2), d).

    Args:
        s: shape (units, B, G, T).
        rows: U at every place and two slots after each chunk, (units, B, G, T + 2, d); carries go to the slots.
    """
    chunk = s.shape[-1]
    last = s[..., -1]
    before = torch.cat([s[..., :1, 0], last[..., :-1]], dim=-1)  # the last s of the chunk before
    own = torch.stack([torch.ones_like(s), s - before.unsqueeze(-1)], dim=-2) @ rows[..., :chunk, :]
    above, moment = _from_above(own[..., 0, :].double()), own[..., 1, :].double()
    rows[..., chunk, :] = above
    rows[..., chunk + 1, :] = _from_above(moment + (last - before).double().unsqueeze(-1) * above)
    ends = torch.cat([s, last.unsqueeze(-1).expand(*s.shape[:-1], 2)], dim=-1)
    matrix = (ends.unsqueeze(-2) - ends.unsqueeze(-1)).relu_()
    matrix[..., chunk + 1] = 1.0
    sums = torch.bmm(matrix.flatten(0, 2), rows.flatten(0, 2))
    return sums.view(len(s), -1, rows.shape[-1])


def _both_ways(s: Tensor, rows: Tensor, is_key: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Compute H(q) at every place, (units, B·G·(T + 3), d), and the gradient of every s, (units, B, G, T).

    Args:
        s: shape (units, B, G, T).
        rows: U at the keys' places, G at the queries', and three slots after each chunk, (units, B, G, T + 3, d).
        is_key: shape (units, B, G, T).
        second: W of the units, (units, d).
    """
    chunk = s.shape[-1]
    above, below, moment = range(chunk, chunk + 3)  # Σ U from above, Σ G from below, and Σ (t − s_p) G_p from below
    first, key = s[..., 0], is_key.to(s.dtype)
    after = torch.cat([first[..., 1:], s[..., -1:, -1]], dim=-1)  # the first s of the next chunk
    own = torch.stack([key, 1 - key, (1 - key) * (after.unsqueeze(-1) - s)], dim=-2) @ rows[..., :chunk, :]
    own = own.double()
    rows[..., above, :] = _from_above(own[..., 0, :])
    lower = _from_below(own[..., 1, :])
    rows[..., below, :] = lower
    rows[..., moment, :] = _from_below(own[..., 2, :] + (after - first).double().unsqueeze(-1) * lower)

    flat = rows.flatten(0, 2)
    products = torch.bmm((rows * second[:, None, None, None]).flatten(0, 2), flat.transpose(1, 2))  # K, of all pairs
    counted = torch.ones(chunk + 3, chunk + 3, dtype=s.dtype, device=s.device).triu(1)
    counted[:, chunk:], counted[chunk:, :] = 0, 0
    counted[:chunk, above], counted[below, :chunk] = 1, 1
    products *= counted
    keys = F.pad(key, (0, 3)).index_fill(-1, torch.tensor(above, device=s.device), 1.0)
    queries = F.pad(1 - key, (0, 3)).index_fill(-1, torch.tensor(below, device=s.device), 1.0)
    of_query = (products @ keys.flatten(0, 2).unsqueeze(-1)).view(*s.shape[:-1], -1)[..., :chunk]
    of_key = (queries.flatten(0, 2).unsqueeze(-2) @ products).view(*s.shape[:-1], -1)[..., :chunk]

    ends = torch.cat([s, first.unsqueeze(-1).expand(*s.shape[:-1], 3)], dim=-1)
    matrix = (ends.unsqueeze(-1) - ends.unsqueeze(-2)).relu_()
    matrix *= queries.unsqueeze(-2)
    matrix[..., moment] = 1.0
    sums = torch.bmm(matrix.flatten(0, 2), flat)
    return sums.view(len(s), -1, rows.shape[-1]), torch.where(is_key, of_key, -of_query)


def _from_above(parts: Tensor) -> Tensor:
    """Sum over the chunks above each chunk, (units, B, G, d)."""
    total = parts.flip(-2).cumsum(-2).flip(-2)
    return torch.cat([total[..., 1:, :], torch.zeros_like(total[..., :1, :])], dim=-2)


def _from_below(parts: Tensor) -> Tensor:
    """Sum over the chunks below each chunk, (units, B, G, d)."""
    total = parts.cumsum(-2)
    return torch.cat([torch.zeros_like(total[..., :1, :]), total[..., :-1, :]], dim=-2)


def _units(line: Tensor, d: int) -> Iterator[tuple[slice, int]]:
    """Yield slices of the hidden units that bound the memory, and the length of a chunk."""
    hidden, batch, length = line.shape
    chunk = min(CHUNK, length)
    allowed = CPU_BYTES if line.device.type == "cpu" else GPU_BYTES
    size = max(1, allowed // (batch * length * max(d, chunk) * line.element_size()))
    for start in range(0, hidden, size):
        yield slice(start, min(start + size, hidden)), chunk
