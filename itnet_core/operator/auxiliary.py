"""Auxiliary losses: extra loss terms that submodules emit during forward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_collected: ContextVar[list[Tensor] | None] = ContextVar("collected", default=None)


@contextmanager
def auxiliary_losses() -> Iterator[list[Tensor]]:
    """Collect the auxiliary losses that forward passes in the block emit: scalars to add to the task's loss.

    Outside of this context, modules do not compute auxiliary losses, so that evaluation takes no longer. A module
    scales its own loss. A loss whose gradient reaches only the module's own parameters, such as that of a learned
    proposal, needs no weight.

    Example:
        >>> class Half(Sampler):
        ...     def forward(self, query, key):
        ...         half = torch.arange(key.weights.shape[1] // 2).expand(len(key.weights), -1)
        ...         weights = 2 * key.weights.gather(1, half)
        ...         return Nodes(half, weights, loss=lambda problem: problem.values.square().mean())
        >>> operator = IntegralOperator(8, MLPKernel(8), sampler=Half(8))
        >>> with auxiliary_losses() as losses:
        ...     result = operator(Field(torch.randn(1, 6, 8), torch.rand(1, 6, 4)))
        >>> loss = result.values.square().mean() + sum(losses)
        >>> len(losses)
        1
    """
    losses: list[Tensor] = []
    token = _collected.set(losses)
    try:
        yield losses
    finally:
        _collected.reset(token)


def collecting() -> bool:
    """Whether auxiliary losses are being collected."""
    return _collected.get() is not None


def add_loss(loss: Tensor) -> None:
    """Emit a scalar auxiliary loss; it is ignored outside of `auxiliary_losses`."""
    losses = _collected.get()
    if losses is not None:
        losses.append(loss)
