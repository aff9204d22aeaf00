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
        ```python
        with auxiliary_losses() as losses:
            prediction = model(inputs)
        (task.loss(prediction, targets) + sum(losses)).backward()
        ```
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
