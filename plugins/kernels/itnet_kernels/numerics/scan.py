"""Scan: linear recurrences h_t = a_t h_{t−1} + b_t, in about 2√T vector operations for T narrow steps."""

from __future__ import annotations

from math import isqrt
from typing import Any

import torch
from torch import Tensor

from itnet_core import refuse_transform

CPU_WIDTH = 1 << 17
"""Size of a vector operation on a CPU above which computing takes longer than launching."""


@torch.compiler.disable  # a graph would hold every step
def scan(factors: Tensor, increments: Tensor, initial: Tensor | None = None) -> Tensor:
    """Compute all states of the elementwise recurrence h_t = a_t h_{t−1} + b_t.

    Factors are multiplied, not exponentiated after a sum of logarithms, so with |a| ≤ 1 nothing overflows, and a
    product that underflows is 0. The backward pass is the same scan in reverse; memory is linear in T. Higher
    derivatives are supported.

    Example:
        >>> scan(torch.full((1, 3), 0.5), torch.ones(1, 3))
        tensor([[1.0000, 1.5000, 1.7500]])

    Args:
        factors: a, of a shape that broadcasts to (B, T, ...) with the increments', real or complex.
        increments: b, (B, T, ...).
        initial: the state h_0 before the first step, (B, ...); 0 by default.

    Returns:
        The states h_1, …, h_T, (B, T, ...).

    Raises:
        DerivativeError: under `torch.func` or forward-mode differentiation.
    """
    refuse_transform("scan", increments)
    dtype = torch.promote_types(factors.dtype, increments.dtype)
    shape = torch.broadcast_shapes(factors.shape, increments.shape)  # type: ignore[no-untyped-call]
    factors, increments = factors.to(dtype), increments.to(dtype).expand(shape)
    factors = factors.view(*[1] * (increments.ndim - factors.ndim), *factors.shape)
    factors = factors.expand(-1, shape[1], *factors.shape[2:])  # time is cut and shifted; other axes broadcast
    start = increments.new_zeros(()) if initial is None else initial.to(dtype)
    states: Tensor = _Scan.apply(factors, increments, start.expand_as(increments[:, 0]), False)
    return states


class _Scan(torch.autograd.Function):
    """The recurrence in the order of time, or in reverse, with `start` after the last step."""

    @staticmethod
    def forward(ctx: Any, factors: Tensor, increments: Tensor, start: Tensor, reverse: bool) -> Tensor:
        states = increments.clone(memory_format=torch.contiguous_format)
        whole = factors.expand_as(states)
        scan_in_place(whole.transpose(0, 1), states.transpose(0, 1), start, reverse=reverse)
        ctx.save_for_backward(factors, start, states)
        ctx.reverse = reverse
        return states

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Compute adjoints λ_t = grad_t + a*_{t+1} λ_{t+1}, and their products with the states and factors."""
        refuse_transform("scan", grad)
        factors, start, states = ctx.saved_tensors
        first, later, earlier = slice(0, 1), slice(1, None), slice(None, -1)
        if ctx.reverse:
            first, later, earlier = slice(-1, None), earlier, later
        zero, order = torch.zeros_like(factors[:, :1]), -1 if ctx.reverse else 1
        following = torch.cat([factors[:, later], zero][::order], dim=1)
        adjoint = _Scan.apply(following.conj(), grad, torch.zeros_like(start), not ctx.reverse)
        previous = (first, start.unsqueeze(1)), (later, states[:, earlier])
        of_factors = [(adjoint[:, at] * state.conj()).sum_to_size(factors[:, at].shape) for at, state in previous]
        of_start = (adjoint[:, first] * factors[:, first].conj()).squeeze(1)
        return torch.cat(of_factors[::order], dim=1), adjoint, of_start, None


def scan_in_place(factors: Tensor, increments: Tensor, start: Tensor | None, *, reverse: bool = False) -> None:
    """Write the states of the recurrence over its increments, without gradients.

    Narrow steps are cut into chunks of time that run in parallel: once from 0, for the contribution of each chunk to
    the state, and once from the state that the chunk starts with.

    Args:
        factors: a, (T, ...).
        increments: b, (T, ...), contiguous or not.
        start: the state before the first step, (...); 0 by default.
        reverse: whether the last step is the first.
    """
    steps, count = len(increments), _chunk_count(increments)
    length = steps // count
    if count == 1:
        _step_by_step(factors, increments, start, reverse)
        return
    whole = count * length
    if reverse and whole < steps:
        start = _step_by_step(factors[whole:], increments[whole:], start, reverse)
    a, b = (torch.unflatten(part[:whole], 0, (count, length)).transpose(0, 1) for part in (factors, increments))
    order = range(length)[:: -1 if reverse else 1]
    # A chunk maps the state before it to total · state + added.
    total, added = a[order[0]].clone(), b[order[0]].clone()
    for step in order[1:]:
        torch.addcmul(b[step], a[step], added, out=added)
        total.mul_(a[step])
    starts = torch.empty_like(added)
    state = torch.zeros_like(added[0]) if start is None else start
    for chunk in range(count)[:: -1 if reverse else 1]:
        starts[chunk] = state
        state = torch.addcmul(added[chunk], total[chunk], state)
    _step_by_step(a, b, starts, reverse)
    if not reverse and whole < steps:
        _step_by_step(factors[whole:], increments[whole:], increments[whole - 1], reverse)


def _step_by_step(factors: Tensor, increments: Tensor, state: Tensor | None, reverse: bool) -> Tensor | None:
    """Compute the recurrence in place, without chunks, and return the state after the last step."""
    pairs = list(zip(factors.unbind(), increments.unbind(), strict=True))
    for factor, increment in pairs[:: -1 if reverse else 1]:
        if state is not None:
            torch.addcmul(increment, factor, state, out=increment)
        state = increment
    return state


def _chunk_count(increments: Tensor) -> int:
    """Return the number of chunks that run in parallel: √T, fewer for wide steps, 1 if it saves little.

    K chunks take 3T/K + 2K vector operations instead of T, and compute everything twice.
    """
    steps, width = len(increments), max(1, increments.shape[1:].numel())
    count = max(1, isqrt(steps))
    if increments.device.type == "cpu":
        count = min(count, max(1, CPU_WIDTH // width))
    return count if 3 * steps / count + 2 * count < steps / 2 else 1
