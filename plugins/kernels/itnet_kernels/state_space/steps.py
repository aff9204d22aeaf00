"""Initial steps Δ of state-space kernels."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor

from itnet_kernels.causal import CausalKernel


class SteppedConfig(CausalKernel.Config):
    """Range of the initial steps Δ."""

    step_min: PositiveFloat = 1e-3
    """Smallest initial Δ; it is drawn evenly on a logarithmic scale."""
    step_max: PositiveFloat = 0.1
    """Largest initial Δ."""


def init_log_steps(count: int, config: SteppedConfig) -> Tensor:
    """Draw log Δ, shape (count,), evenly between the logarithms of the smallest and the largest step."""
    low, high = torch.tensor([config.step_min, config.step_max]).log()
    return low + (high - low) * torch.rand(count)


def init_step_bias(count: int, config: SteppedConfig) -> Tensor:
    """Draw b with softplus(b) = Δ, shape (count,), for a Δ as of `init_log_steps`."""
    steps = init_log_steps(count, config).exp()
    return steps + (-torch.expm1(-steps)).log()
