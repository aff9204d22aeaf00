"""Callback that averages the weights of the model over the steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from itnet_train.callbacks.stopping import completes_step
from itnet_train.engine.parallel import own_weights
from itnet_train.engine.sharded_strategy import SHARED


class Averaging(Callback):
    """Keeps an exponential moving average of the weights, by which the model is validated and saved.

    Unlike Lightning's `WeightAveraging`, it copies the model alone and not the data of its tasks, keeps the copy on the
    device of the model, and takes integer buffers over as they are. Where processes share the parameters, each keeps
    the average of its own shares.

    Args:
        decay: share of the average that a step keeps. In the first steps t it is at most (1 + t) / (10 + t), so that
            the initial weights are soon forgotten.

    Attributes:
        average: the average by the names of parameters and buffers.
        steps: number of steps that are averaged.
    """

    def __init__(self, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.average: dict[str, Tensor] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start with the weights of the model, or with an average that was restored."""
        self.start(pl_module.model)

    @torch.no_grad()
    def start(self, model: nn.Module) -> None:
        """Start with the weights of the model, or with an average that was restored."""
        self.average = {
            name: self.average.get(name, weight).to(weight.device, copy=True)
            for name, weight in own_weights(model).items()
        }

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Add the weights after an optimizer step."""
        if completes_step(trainer, batch_idx):
            self.add(pl_module.model)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Validate the averaged weights."""
        self.swap(pl_module.model)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Go on with the weights of the last step."""
        self.swap(pl_module.model)

    @torch.no_grad()
    def add(self, model: nn.Module) -> None:
        """Add the weights of a step."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, shared in own_weights(model).items():
            average, weight = _local(self.average[name]), _local(shared)
            if self.steps and (weight.is_floating_point() or weight.is_complex()):
                average.mul_(decay).add_(weight, alpha=1 - decay)
            else:
                average.copy_(weight)
        self.steps += 1

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the weights of the model and the average."""
        for name, weight in own_weights(model).items():
            kept = weight.clone()
            weight.copy_(self.average[name])
            self.average[name].copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """Return the average."""
        return {"steps": self.steps, SHARED: self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned; the average of shares has been restored in place."""
        self.steps = state_dict["steps"]
        self.average.update(state_dict.get(SHARED, {}))


def _local(tensor: Tensor) -> Tensor:
    """Return the share of this process as a plain tensor, whose operations take a tenth of the time."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


@contextmanager
def averaged_weights(averaging: Averaging | None, model: nn.Module) -> Iterator[None]:
    """Give a model the averaged weights, if there are any, while the context lasts."""
    if averaging is None:
        yield
        return
    averaging.swap(model)
    yield
    averaging.swap(model)
