"""Kernels of scans over the past, whose terms are channels of the field: what a layer computed before its scan."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from itnet_core import Field, Normalization
from itnet_kernels.causal import CausalKernel
from itnet_kernels.state_space.mamba import MambaKernel
from itnet_kernels.state_space.mixers import ChannelSlice, JoinedValues

Terms = tuple[Tensor, ...]


class JoinedMambaKernel(JoinedValues, MambaKernel):
    """Mamba's kernel of a field whose channels are v, Δ before softplus, B and C, concatenated.

    Example:
        >>> kernel = JoinedMambaKernel(3, state=2)
        >>> operator = IntegralOperator(10, kernel, out_dim=3, head_dim=1, pointwise=False)
        >>> operator(Field.on_grid(torch.randn(1, 20, 10), axes="t")).values.shape
        torch.Size([1, 20, 3])

    Args:
        dim: channels of v, and heads.
        state: states of a channel.
    """

    def __init__(self, dim: int, *, state: int) -> None:
        super().__init__(dim, state=state)
        bounds = [dim, 2 * dim, 2 * dim + state, 2 * dim + 2 * state]
        parts: list[nn.Module] = [ChannelSlice(first, last) for first, last in pairwise(bounds)]
        self.to_rank, (self.to_step, self.to_state, self.from_state) = nn.Identity(), parts  # type: ignore[assignment]


class RWKVKernel(JoinedValues, CausalKernel[Terms, None]):
    """RWKV's kernel: a softmax over the past with the logit κ(s) − w (t − 1 − s) for s < t, and κ(t) + u for s = t.

    Peng et al., arXiv 2305.13048, §3.1: w > 0 and u are numbers of each channel, a head; κ is a function of the field
    at a point. Here a field's channels are v and κ, concatenated, and time advances by 1 from point to point.

    Example:
        >>> operator = IntegralOperator(6, RWKVKernel(3), out_dim=3, head_dim=1, pointwise=False)
        >>> operator(Field.on_grid(torch.randn(1, 20, 6), axes="t")).values.shape
        torch.Size([1, 20, 3])

    Args:
        dim: channels of v, and heads.

    Attributes:
        decay: w, (dim,).
        bonus: u, (dim,).
    """

    normalization: Normalization = "softmax"

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.heads = dim
        self.decay, self.bonus = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))

    def project(self, query: Field, key: Field) -> tuple[Terms, Terms]:
        """Return the times of the query, (B, N), and κ, (B, M, heads), and the times of the key, (B, M)."""
        return (self.time(query.positions),), (key.values[..., self.heads :], self.time(key.positions))

    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Compute the logits, (B, heads, n, m)."""
        (later,), (keys, earlier) = query_terms, key_terms
        passed = (later.unsqueeze(2) - earlier.unsqueeze(1) - 1).unsqueeze(1)  # −1 at the point itself
        decay, bonus = (numbers.view(-1, 1, 1) for numbers in (self.decay, self.bonus))
        logits = keys.to(torch.promote_types(keys.dtype, torch.float32)).transpose(1, 2).unsqueeze(2)
        return logits + torch.where(passed < 0, bonus, -decay * passed.clamp(min=0))

    def can_integrate(self, problem: object) -> bool:
        """Return `False`: there is no fast path."""
        return False
