"""Linear recurrences h_t = a_t h_{t−1} + b_t, in about 2√T vector operations for T steps instead of T."""

from __future__ import annotations

from math import isqrt
from typing import Any

import torch
from torch import Tensor


def scan(factors: Tensor, increments: Tensor, initial: Tensor | None = None) -> Tensor:
    """Return all states of the recurrence h_t = a_t h_{t−1} + b_t, element by element.

    Time is cut into about √T chunks, which run side by side: once from 0 for what each adds to the state, once from the
    state that it really starts with. Factors are multiplied as they are, never exponentiated after summing, so with
    |a| ≤ 1 nothing overflows and a product that underflows is 0, as it should be. The backward pass is the same scan in
    reverse; memory is linear in T. Higher derivatives work.

    Args:
        factors: a, of a shape that broadcasts to (B, T, ...) with the increments', real or complex.
        increments: b, (B, T, ...).
        initial: the state h_0 before the first step, (B, ...); 0 by default.

    Returns:
        The states h_1, …, h_T, (B, T, ...).
    """
    dtype = torch.promote_types(factors.dtype, increments.dtype)
    shape = torch.broadcast_shapes(factors.shape, increments.shape)
    factors, increments = factors.to(dtype).expand(shape), increments.to(dtype).expand(shape)
    start = torch.zeros_like(increments[:, 0]) if initial is None else initial.to(dtype).expand_as(increments[:, 0])
    states: Tensor = _Scan.apply(factors, increments, start)
    return states


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, factors: Tensor, increments: Tensor, initial: Tensor) -> Tensor:
        states = _states(factors, increments, initial)
        ctx.save_for_backward(factors, initial, states)
        return states

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scan back: g_t = grad_t + a*_{t+1} g_{t+1}."""
        factors, initial, states = ctx.saved_tensors
        later = torch.cat([factors[:, 1:], torch.zeros_like(factors[:, :1])], dim=1).conj()
        adjoint = scan(later.flip(1), grad.flip(1)).flip(1)
        before = torch.cat([initial.unsqueeze(1), states[:, :-1]], dim=1)
        return adjoint * before.conj(), adjoint, adjoint[:, 0] * factors[:, 0].conj()


def _states(factors: Tensor, increments: Tensor, initial: Tensor) -> Tensor:
    steps = increments.shape[1]
    states = torch.empty(increments.shape, dtype=increments.dtype, device=increments.device)
    length = max(1, isqrt(steps))  # of a chunk
    count = steps // length
    whole = count * length
    a, b, out = (_chunked(t[:, :whole], count) for t in (factors, increments, states))
    # What each chunk makes of a state before it: total · state + added.
    total, added = a[:, :, 0].clone(), b[:, :, 0].clone()
    for step in range(1, length):
        added = torch.addcmul(b[:, :, step], a[:, :, step], added)
        total *= a[:, :, step]
    starts = torch.empty_like(added)
    state = initial
    for chunk in range(count):
        starts[:, chunk] = state
        state = torch.addcmul(added[:, chunk], total[:, chunk], state)
    state = starts
    for step in range(length):
        state = torch.addcmul(b[:, :, step], a[:, :, step], state)
        out[:, :, step] = state
    state = states[:, whole - 1]
    for step in range(whole, steps):  # what is left of the last chunk
        state = torch.addcmul(increments[:, step], factors[:, step], state)
        states[:, step] = state
    return states


def _chunked(steps: Tensor, count: int) -> Tensor:
    """Return a view of (B, T, ...) as (B, count, T / count, ...)."""
    return steps.view(len(steps), count, steps.shape[1] // count, *steps.shape[2:])
