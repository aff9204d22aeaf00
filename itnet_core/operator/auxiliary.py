"""Losses beside the task's: what parts of a model want minimised, for whoever trains it to collect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_collected: ContextVar[list[Tensor] | None] = ContextVar("collected", default=None)


@contextmanager
def auxiliary_losses() -> Iterator[list[Tensor]]:
    """Collect the auxiliary losses of what runs inside: scalars, to be added to the task's loss.

    ```python
    with auxiliary_losses() as losses:
        prediction = model(inputs)
    (task.loss(prediction, targets) + sum(losses)).backward()
    ```

    Outside of it none is computed, so evaluation pays nothing for them. A part scales its own loss; one whose gradient
    reaches none but the part's own parameters, as that of a learned proposal, needs no weight.
    """
    losses: list[Tensor] = []
    token = _collected.set(losses)
    try:
        yield losses
    finally:
        _collected.reset(token)


def collecting() -> bool:
    """Whether somebody collects auxiliary losses."""
    return _collected.get() is not None


def add_loss(loss: Tensor) -> None:
    """Give a scalar to who collects; nothing happens where nobody does."""
    losses = _collected.get()
    if losses is not None:
        losses.append(loss)
