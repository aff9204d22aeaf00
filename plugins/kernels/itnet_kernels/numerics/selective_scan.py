"""Mamba's selective scan, forward and backward, without storing all states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from itnet_core import refuse_second_derivatives, refuse_transform
from itnet_kernels.numerics.scan import scan_in_place

BLOCK = 1 << 20
"""State entries of a block of time: 4 MB, enough steps for chunks that run in parallel."""


@torch.compiler.disable  # a graph would hold every step
def selective_scan(steps: Tensor, inputs: Tensor, rates: Tensor, to_state: Tensor, from_state: Tensor) -> Tensor:
    """Compute y_t = Σ_n C_tn h_tn with h_tn = e^{A_n Δ_t} h_{t−1,n} + B_tn x_t, for each channel.

    It proceeds in blocks of time. The states of a block are not stored: the backward pass computes them again from the
    state at its start, as Mamba's own implementation does on a GPU (Gu & Dao, arXiv 2312.00752, §3.3.2). Second
    derivatives are refused.

    Args:
        steps: Δ ≥ 0, (B, T, channels).
        inputs: x, (B, T, channels).
        rates: A ≤ 0, (channels, state).
        to_state: B, (B, T, state).
        from_state: C, (B, T, state).

    Returns:
        Shape (B, T, channels), in the dtype of the inputs; computed in float32 at least.

    Raises:
        DerivativeError: for second derivatives, under `torch.func` or forward-mode differentiation.
    """
    refuse_transform("selective_scan", inputs)
    dtype = inputs.dtype
    wide = torch.promote_types(torch.promote_types(dtype, rates.dtype), torch.float32)
    # Time first, channels last: a step is contiguous, and a vector operation runs along the channels.
    sides = [tensor.to(wide).transpose(0, 1).contiguous() for tensor in (steps, inputs, to_state, from_state)]
    out: Tensor = _SelectiveScan.apply(*sides, rates.to(wide).T.contiguous())
    return out.transpose(0, 1).to(dtype)


class _SelectiveScan(torch.autograd.Function):
    """The scan for tensors of shape (T, B, …), and rates of shape (state, channels)."""

    @staticmethod
    def forward(ctx: Any, steps: Tensor, inputs: Tensor, to_state: Tensor, from_state: Tensor, rates: Tensor) -> Tensor:
        blocks = _Blocks(steps, inputs, to_state, rates)
        starts = [steps.new_zeros(steps.shape[1], *rates.shape)]
        out = torch.empty_like(inputs)
        for block in blocks.slices:
            _, states = blocks.states(block, starts[-1])
            starts.append(states[-1].clone())
            torch.matmul(from_state[block].unsqueeze(-2), states, out=out[block].unsqueeze(-2))
        ctx.save_for_backward(steps, inputs, to_state, from_state, rates, *starts[:-1])
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        refuse_second_derivatives("selective_scan", grad)
        steps, inputs, to_state, from_state, rates, *starts = ctx.saved_tensors
        grad = grad.contiguous()
        g_steps, g_inputs, g_to, g_from = map(torch.empty_like, (steps, inputs, to_state, from_state))
        g_rates = torch.zeros_like(rates)
        blocks = _Blocks(steps, inputs, to_state, rates)
        adjoints_of_block = torch.empty_like(blocks.factors)
        carried = torch.zeros_like(starts[0])  # a_{t+1} λ_{t+1}
        for block, start in zip(reversed(blocks.slices), reversed(starts), strict=True):
            x, g = inputs[block], grad[block]
            factors, states = blocks.states(block, start)
            torch.matmul(states, g.unsqueeze(-1), out=g_from[block].unsqueeze(-1))
            # λ_t = C_t g_t + a_{t+1} λ_{t+1}, from the last point back
            adjoints = adjoints_of_block[: len(x)]
            torch.mul(from_state[block].unsqueeze(-1), g.unsqueeze(-2), out=adjoints)
            adjoints[-1] += carried
            scan_in_place(factors[1:], adjoints[:-1], adjoints[-1], reverse=True)
            torch.matmul(adjoints, x.unsqueeze(-1), out=g_to[block].unsqueeze(-1))
            torch.matmul(to_state[block].unsqueeze(-2), adjoints, out=g_inputs[block].unsqueeze(-2))
            # a_t λ_t is the gradient by h_{t−1}; times h_{t−1} it is the gradient by the exponent A Δ_t
            passed = factors.mul_(adjoints)
            carried = passed[0].clone()
            passed[1:] *= states[:-1]
            passed[0] *= start
            torch.sum(torch.mul(passed, rates, out=adjoints), dim=-2, out=g_steps[block])
            g_rates += passed.mul_(steps[block].unsqueeze(-2)).sum((0, 1))
        return g_steps, g_inputs, g_to, g_from, g_rates


class _Blocks:
    """Blocks of time, whose factors and states share one piece of memory."""

    def __init__(self, steps: Tensor, inputs: Tensor, to_state: Tensor, rates: Tensor) -> None:
        time, batch, _ = steps.shape
        length = min(time, max(1, BLOCK // (batch * rates.numel())))
        self.steps, self.inputs, self.to_state, self.rates = steps, inputs, to_state, rates
        self.slices = [slice(first, min(first + length, time)) for first in range(0, time, length)]
        self.factors, self._states = steps.new_empty(2, length, batch, *rates.shape)

    def states(self, block: slice, start: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the factors e^{AΔ} and the states of a block, (T, B, state, channels) each."""
        count = block.stop - block.start
        factors, states = self.factors[:count], self._states[:count]
        torch.mul(self.steps[block].unsqueeze(-2), self.rates, out=factors)
        factors.exp_()
        torch.mul(self.to_state[block].unsqueeze(-1), self.inputs[block].unsqueeze(-2), out=states)
        scan_in_place(factors, states, start)
        return factors, states
