"""Modules of one modality, called as models are."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class SingleModality(nn.Module):
    """A module of one modality, called as an `ITNetModel` is.

    Its state has tensors alone: neuraloperator's networks add the arguments of their constructor, for example.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.register_state_dict_post_hook(_keep_tensors)  # type: ignore[no-untyped-call]

    def forward(self, inputs: Any, modality: str | None = None) -> Tensor:
        """Predict for a batch."""
        prediction: Tensor = self.module(inputs)
        return prediction


def own_module(model: nn.Module) -> nn.Module:
    """Return the module that a user knows a model by."""
    return model.module if isinstance(model, SingleModality) else model


def _keep_tensors(module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]) -> None:
    for name in [name for name, value in state.items() if not isinstance(value, Tensor)]:
        del state[name]
