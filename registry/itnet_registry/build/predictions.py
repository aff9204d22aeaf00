"""Check of a model's predictions by its tasks, before the model is trained."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import nn

from itnet_core import Task


@torch.no_grad()
def check_predictions(model: nn.Module, tasks: Mapping[str, Task]) -> None:
    """Let each task check the model's predictions in evaluation mode; see `Task.check_model`.

    Args:
        model: an `ITNetModel`, or a module that is called as one: `model(inputs, modality)`.
        tasks: by modality.

    Raises:
        ConfigError: the model does not suit a task.
    """
    training = model.training
    model.eval()
    try:
        for modality, task in tasks.items():
            task.check_model(partial(model, modality=modality))
    finally:
        model.train(training)
