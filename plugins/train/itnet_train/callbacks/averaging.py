"""Callback that averages the weights of the model over the steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from itnet_train.callbacks.stopping import completes_step


class Averaging(Callback):
    """Keeps an exponential moving average of the weights, by which the model is validated and saved.

    Unlike Lightning's `WeightAveraging`, it copies the model alone and not the data of its tasks, keeps the copy on the
    device of the model, and takes integer buffers over as they are.

    Args:
        decay: share of the average that a step keeps. In the first steps t it is at most (1 + t) / (10 + t), so that
            the initial weights are soon forgotten.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: AveragedModel | None = None

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Start with the weights of the model."""
        if stage == "fit":
            device = trainer.strategy.root_device
            self.average = AveragedModel(pl_module.model, device, avg_fn=self._step, use_buffers=True)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Add the weights after an optimizer step."""
        if completes_step(trainer, batch_idx):
            self._averaged().update_parameters(pl_module.model)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Validate the averaged weights."""
        self.swap(pl_module.model)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Go on with the weights of the last step."""
        self.swap(pl_module.model)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the weights of the model and the average."""
        average = self._averaged().module
        pairs = zip(
            chain(average.parameters(), average.buffers()), chain(model.parameters(), model.buffers()), strict=True
        )
        for averaged, current in pairs:
            kept = current.clone()
            current.copy_(averaged)
            averaged.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """Return the average."""
        return {"average": self._averaged().state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        self._averaged().load_state_dict(state_dict["average"])

    def _averaged(self) -> AveragedModel:
        assert self.average is not None, "setup comes first"
        return self.average

    def _step(self, averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        if not (averaged.is_floating_point() or averaged.is_complex()):
            return current
        decay = min(self.decay, (1 + int(count)) / (10 + int(count)))
        return decay * averaged + (1 - decay) * current


@contextmanager
def averaged_weights(averaging: Averaging | None, model: nn.Module) -> Iterator[None]:
    """Give a model the averaged weights, if there are any, while the context lasts."""
    if averaging is None:
        yield
        return
    averaging.swap(model)
    yield
    averaging.swap(model)
