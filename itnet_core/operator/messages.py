"""Messages between processes, with their gradients.

Each process may do something else with what arrives, so gradients are sums over the processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather(part: Tensor, group: Any) -> Tensor:
    """Return the parts (B, n, …) of all P processes, (B, n, P, …)."""
    parts: Tensor = _Gather.apply(part, group)
    return parts


def add(tensor: Tensor, group: Any) -> Tensor:
    """Return the sum over the processes."""
    total: Tensor = _Add.apply(tensor, group)
    return total


def shift(tensors: Sequence[Tensor], group: Any) -> list[Tensor]:
    """Return the tensors of the process before this one, in one exchange of messages."""
    return list(_Shift.apply(group, *tensors))


class _Gather(torch.autograd.Function):
    """Parts (B, n, …) as (B, n, P, …)."""

    @staticmethod
    def forward(ctx: Any, share: Tensor, group: Any) -> Tensor:
        ctx.group = group
        parts = [
            torch.empty_like(share, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size(group))
        ]
        dist.all_gather(parts, share.contiguous(), group=group)
        return torch.stack(parts, dim=2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad, group=ctx.group)
        return grad[:, :, dist.get_rank(ctx.group)], None


class _Add(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Any) -> Tensor:
        ctx.group, total = group, tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=ctx.group)
        return total, None


class _Shift(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, group: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.group = group
        moved, needed = _exchange(tensors, group, 1), ctx.needs_input_grad[1:]
        ctx.mark_non_differentiable(*(tensor for tensor, need in zip(moved, needed, strict=True) if not need))
        return tuple(moved)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[1:]
        moved = iter(_exchange([grad for grad, need in zip(grads, needed, strict=True) if need], ctx.group, -1))
        return None, *(next(moved) if need else None for need in needed)


def _exchange(tensors: Sequence[Tensor], group: Any, step: int) -> list[Tensor]:
    """Send tensors `step` processes on, and return those that arrive."""
    size, rank = dist.get_world_size(group), dist.get_rank(group)
    to, source = (dist.get_global_rank(group, (rank + by) % size) for by in (step, -step))
    arriving = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in tensors]
    messages = [dist.P2POp(dist.isend, tensor.contiguous(), to, group) for tensor in tensors]
    messages += [dist.P2POp(dist.irecv, tensor, source, group) for tensor in arriving]
    for work in dist.batch_isend_irecv(messages):
        work.wait()
    return arriving
