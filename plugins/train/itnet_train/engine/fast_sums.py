"""Hint for a model whose sums would be faster with another evaluator."""

from __future__ import annotations

import torch
from torch import nn

from itnet_core import IntegralOperator, MLPKernel
from itnet_registry.api import default_registry
from itnet_registry.build.evaluators import fused_evaluator_hint
from itnet_train.config import TrainConfig


def computes_on_cpu(config: TrainConfig) -> bool:
    """Whether a run computes on the CPU of this machine."""
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    return config.accelerator == "cpu" or (config.accelerator == "auto" and not has_gpu)


def slow_cpu_hint(model: nn.Module, config: TrainConfig) -> str:
    """Return how to get a faster evaluator for a model of MLP kernels that is trained on a CPU, or ""."""
    operators = (part for part in model.modules() if isinstance(part, IntegralOperator))
    kernels = (kernel for operator in operators for kernel in operator.kernel.summands)
    if not computes_on_cpu(config) or not any(isinstance(kernel, MLPKernel) for kernel in kernels):
        return ""
    return fused_evaluator_hint(default_registry())
