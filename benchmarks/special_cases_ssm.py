"""State-space kernels' scans compared to transformers' mixers and plain recurrences, for special_cases.py."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from measuring import Pair
from torch import Tensor
from torch.nn import functional as F
from transformers import Mamba2Config, MambaConfig
from transformers.models.mamba import modeling_mamba
from transformers.models.mamba2 import modeling_mamba2

from itnet_core import Field, IntegralOperator
from itnet_kernels import S4DKernel, convert
from itnet_kernels.numerics.decayed_sums import decayed_sums
from itnet_kernels.numerics.selective_scan import selective_scan

logging.getLogger("transformers").setLevel(logging.ERROR)
STEPS = 2048


def mamba() -> Iterator[Pair]:
    """Yield Mamba's scan alone and its mixer, 128 and 768 channels wide, 2048 steps."""
    for width in (128, 768):
        torch.manual_seed(0)
        config: Any = MambaConfig(hidden_size=width)
        theirs: Any = modeling_mamba.MambaMixer(config, 0)
        ours = convert(theirs)
        x = torch.randn(1, STEPS, width, requires_grad=True)
        if width == 128:
            steps, inputs = F.softplus(torch.randn(1, STEPS, 2 * width) - 4), torch.randn(1, STEPS, 2 * width)
            rates = -torch.arange(1.0, 17).expand(2 * width, 16).contiguous()
            tensors = (steps, inputs, rates, torch.randn(1, STEPS, 16), torch.randn(1, STEPS, 16))
            scanned = tuple(tensor.requires_grad_() for tensor in tensors)
            ways = _mamba_scan(scanned), _scan(scanned)
            yield Pair(f"mamba, the scan, {2 * width} channels", *ways, scanned, *SPEED, slow_backward=True)
        # A backward pass of their mixer is as slow as their scan's.
        yield Pair(f"mamba, the mixer, width {width}", partial(theirs, x), partial(ours, x), (), "speed")


def mamba2() -> Iterator[Pair]:
    """Yield Mamba-2's chunked sum alone and its mixer, 128 and 768 channels wide, 2048 steps."""
    for width in (128, 768):
        torch.manual_seed(0)
        heads = 2 * width // 64
        config: Any = Mamba2Config(hidden_size=width, num_heads=heads, head_dim=64, n_groups=1, state_size=128)
        theirs: Any = modeling_mamba2.Mamba2Mixer(config, 0)
        ours = convert(theirs)
        x = torch.randn(1, STEPS, width, requires_grad=True)
        leaves = (x, *theirs.parameters())
        if width == 128:
            steps = F.softplus(torch.randn(1, STEPS, heads) - 4)
            inputs, rates = torch.randn(1, STEPS, heads, 64), -torch.arange(1.0, heads + 1)
            tensors = (steps, inputs, rates, torch.randn(1, STEPS, 1, 128), torch.randn(1, STEPS, 1, 128))
            summed = tuple(tensor.requires_grad_() for tensor in tensors)
            yield Pair(f"mamba2, the sum, {heads} heads of 64", _mamba2_sum(summed), _sum(summed), summed, *SPEED)
        yield Pair(f"mamba2, the mixer, width {width}", partial(theirs, x), partial(ours, x), leaves, "speed")


def s4d() -> Iterator[Pair]:
    """Yield S4D in chunks and its recurrence in PyTorch, 64 channels, 16384 steps."""
    torch.manual_seed(0)
    kernel = S4DKernel(64)
    operator = IntegralOperator(64, kernel, pointwise=False)
    positions = torch.zeros(1, 2**14, 4)
    positions[..., 0] = torch.arange(2**14)
    field = Field(torch.randn(1, 2**14, 64), positions)

    def recurrence() -> Tensor:
        rates, residues = (mode.to(torch.complex64) for mode in kernel._modes())
        factors, out = rates.exp(), []
        state = torch.zeros(1, 64, 32, dtype=torch.complex64)
        for driven in field.values.unsqueeze(-1).unbind(1):
            state = factors * state + driven
            out.append((residues * state).sum(-1).real)
        return torch.stack(out, dim=1)

    leaves = tuple(kernel.parameters())
    yield Pair("s4d, 64 channels, N = 16384", recurrence, lambda: operator(field).values, leaves, "speed", 20.0)


SPEED = ("speed", 5.0)
CASES: dict[str, Callable[[], Iterator[Pair]]] = {"mamba": mamba, "mamba2": mamba2, "s4d": s4d}


def _mamba_scan(tensors: tuple[Tensor, ...]) -> Callable[[], Tensor]:
    def run() -> Tensor:
        steps, inputs, rates, to_state, from_state = tensors
        parts = (inputs.mT, steps.mT, rates, to_state.mT, from_state.mT)
        return modeling_mamba.mamba_selective_scan(*parts).mT

    return run


def _scan(tensors: tuple[Tensor, ...]) -> Callable[[], Tensor]:
    steps, inputs, rates, to_state, from_state = tensors
    return lambda: selective_scan(steps, steps * inputs, rates, to_state, from_state)


def _mamba2_sum(tensors: tuple[Tensor, ...]) -> Callable[[], Tensor]:
    def run() -> Tensor:
        steps, inputs, rates, to_state, from_state = tensors
        return modeling_mamba2.mamba2_chunk_scan(inputs, steps, rates, to_state, from_state, chunk_size=256)

    return run


def _sum(tensors: tuple[Tensor, ...]) -> Callable[[], Tensor]:
    steps, inputs, rates, to_state, from_state = tensors

    def run() -> Tensor:
        potentials = (rates * steps).double().cumsum(1)
        return decayed_sums(from_state, to_state, steps.unsqueeze(-1) * inputs, potentials)

    return run
