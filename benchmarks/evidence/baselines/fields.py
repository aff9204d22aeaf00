"""neuraloperator's networks for fields on grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from itnet_core import Field
from itnet_registry import create


class ScatteredError(ValueError):
    """A network on grids was given a field at scattered points."""


class OnGrid(nn.Module):
    """A network of images or signals, (B, C, sides), applied to a field on a grid; returns (B, N, outputs)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, field: Field) -> Tensor:
        """Predict at every point."""
        if field.grid is None:
            raise ScatteredError
        sides = torch.unflatten(field.values.transpose(1, 2), -1, field.grid)
        out: Tensor = self.network(sides)
        return out.flatten(2).transpose(1, 2)


def _channels(reference: Mapping[str, Any]) -> tuple[int, int]:
    task = create("task", **reference)
    return int(task.encoder_options["channels"]), int(task.head["outputs"])


def fno(task: Mapping[str, Any], *, modes: Sequence[int], hidden: int, layers: int = 4) -> nn.Module:
    """Return neuraloperator's FNO."""
    from neuralop.models import FNO

    channels, outputs = _channels(task)
    return OnGrid(
        FNO(n_modes=tuple(modes), in_channels=channels, out_channels=outputs, hidden_channels=hidden, n_layers=layers)
    )


def uno(
    task: Mapping[str, Any],
    *,
    hidden: int,
    widths: Sequence[int],
    modes: Sequence[Sequence[int]],
    scalings: Sequence[Sequence[float]],
) -> nn.Module:
    """Return neuraloperator's U-NO."""
    from neuralop.models import UNO

    channels, outputs = _channels(task)
    return OnGrid(
        UNO(
            in_channels=channels,
            out_channels=outputs,
            hidden_channels=hidden,
            lifting_channels=64,
            projection_channels=64,
            n_layers=len(widths),
            uno_out_channels=list(widths),
            uno_n_modes=[list(m) for m in modes],
            uno_scalings=[list(s) for s in scalings],
            channel_mlp_skip="linear",
        )
    )
