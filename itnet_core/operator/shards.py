"""Points that are dealt to the processes of a group, and the messages between these processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from itnet_core.operator.points import Points


@dataclass(frozen=True, eq=False)
class Shards:
    """How the N points of a field are dealt to the P processes of a group: process r has the points r, r + P, r + 2P …

    So all processes have as many points of a causal sum, of a sample with padding, and of any part of the domain. If P
    does not divide N, the last shares end with padding.

    Attributes:
        group: the processes, of `torch.distributed`.
        whole: all points, which every process has.
    """

    group: Any
    whole: Points

    @property
    def size(self) -> int:
        """P, the number of processes."""
        return dist.get_world_size(self.group)

    @property
    def rank(self) -> int:
        """r, the number of this process."""
        return dist.get_rank(self.group)

    def share(self, tensor: Tensor) -> Tensor:
        """Return this process's part of a tensor of all points, (B, N, …)."""
        missing = -tensor.shape[1] % self.size
        if missing:
            tensor = torch.cat([tensor, tensor[:, -1:].expand(-1, missing, *tensor.shape[2:])], dim=1)
        return tensor[:, self.rank :: self.size]

    def share_weights(self, weights: Tensor) -> Tensor:
        """Return this process's part of the weights of all points, (B, N); the padding has none."""
        return F.pad(weights, [0, -weights.shape[1] % self.size])[:, self.rank :: self.size]

    def gather(self, share: Tensor) -> Tensor:
        """Return the tensor of all points, (B, N, …), from this process's part.

        Each process may do something else with it: its gradient is the sum over the processes.
        """
        parts: Tensor = _Gather.apply(share, self.group)
        return parts.flatten(1, 2)[:, : self.whole.positions.shape[1]]

    def add(self, tensor: Tensor) -> Tensor:
        """Return the sum over the processes, each of which may do something else with it, as for `gather`."""
        total: Tensor = _Add.apply(tensor, self.group)
        return total

    def shift(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the tensors of the process before this one, in one exchange of messages."""
        return list(_Shift.apply(self.group, *tensors))


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
