"""Mamba's and Mamba-2's layers, composed of integral operators and pointwise maps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import Field, IntegralOperator
from itnet_kernels.convolution.convolution import ConvolutionKernel
from itnet_kernels.state_space.mamba import MambaKernel
from itnet_kernels.state_space.mamba2 import Mamba2Kernel


class MambaMixer(nn.Module):
    """Mamba's layer: out((Integral x + D x) ⊙ silu z), with x = silu(convolution x₀).

    Gu & Dao, arXiv 2312.00752, §3.4. x₀ and z are linear in the field. The convolution and the integral are operators;
    the rest is pointwise.

    Example:
        >>> mixer = MambaMixer(8)
        >>> mixer(Field.on_grid(torch.randn(1, 20, 8), axes="t", measure="counting")).values.shape
        torch.Size([1, 20, 8])

    Args:
        dim: channels of the fields.
        expand: x has dim · expand channels.
        state: states of a channel, N.
        rank: rank of the map to Δ; dim / 16, rounded up, by default.
        taps: taps of the convolution, at a point and before it.
        bias: whether the two linear maps have a bias.
        convolution_bias: whether the convolution has a bias.
        spacing: length of time between taps; the spacing of the field's grid by default.
    """

    def __init__(
        self,
        dim: int,
        *,
        expand: float = 2,
        state: int = 16,
        rank: int | None = None,
        taps: int = 4,
        bias: bool = False,
        convolution_bias: bool = True,
        spacing: float | None = None,
    ) -> None:
        super().__init__()
        inner = int(expand * dim)
        kernel = MambaKernel(inner, state=state, rank=rank or -(-dim // 16))
        self.input = nn.Linear(dim, 2 * inner, bias=bias)
        self.convolution = _convolution(inner, taps, convolution_bias, spacing)
        self.integral = IntegralOperator(inner, kernel, pointwise=False)
        self.skip = nn.Parameter(torch.ones(inner))  # D
        self.output = nn.Linear(inner, dim, bias=bias)

    def forward(self, field: Field) -> Field:
        """Apply the layer; the result has the same points."""
        x, gate = self.input(field.values).chunk(2, dim=-1)
        x = self.convolution(field.with_values(x)).map(F.silu)
        return self._combine(x, self.integral(x), gate)

    def step(self, state: Any, field: Field) -> tuple[Any, Field]:
        """Advance a stream by one point; see `IntegralOperator.step`."""
        taps, past = state or (None, None)
        x, gate = self.input(field.values).chunk(2, dim=-1)
        taps, x = self.convolution.step(taps, field.with_values(x))
        x = x.map(F.silu)
        past, integral = self.integral.step(past, x)
        return (taps, past), self._combine(x, integral, gate)

    def _combine(self, x: Field, integral: Field, gate: Tensor) -> Field:
        return integral.with_values(self.output((integral.values + self.skip * x.values) * F.silu(gate)))


class Mamba2Mixer(nn.Module):
    """Mamba-2's layer: out(norm((Integral x + D x) ⊙ silu z)).

    Dao & Gu, arXiv 2405.21060, §7. z, x, B, C and Δ are linear in the field; a convolution and SiLU are applied to x, B
    and C. The convolution and the integral are operators; the rest is pointwise.

    Example:
        >>> mixer = Mamba2Mixer(8, head_dim=4, state=16)
        >>> mixer(Field.on_grid(torch.randn(1, 20, 8), axes="t", measure="counting")).values.shape
        torch.Size([1, 20, 8])

    Args:
        dim: channels of the fields.
        expand: x has dim · expand channels.
        head_dim: channels of a head.
        state: states of a head's channel, N.
        groups: groups of heads that share B and C, and of channels that share a norm.
        taps: taps of the convolution, at a point and before it.
        bias: whether the two linear maps have a bias.
        convolution_bias: whether the convolution has a bias.
        epsilon: number added to the mean square in the norm.
        clamp_min: lower bound of Δ.
        clamp_max: upper bound of Δ; unbounded by default.
        spacing: length of time between taps; the spacing of the field's grid by default.
    """

    def __init__(
        self,
        dim: int,
        *,
        expand: float = 2,
        head_dim: int = 64,
        state: int = 128,
        groups: int = 1,
        taps: int = 4,
        bias: bool = False,
        convolution_bias: bool = True,
        epsilon: float = 1e-5,
        clamp_min: float = 0.0,
        clamp_max: float | None = None,
        spacing: float | None = None,
    ) -> None:
        super().__init__()
        inner = int(expand * dim)
        heads, convolved = inner // head_dim, inner + 2 * groups * state
        kernel = JoinedMamba2Kernel(
            convolved + heads, heads=heads, state=state, groups=groups, clamp_min=clamp_min, clamp_max=clamp_max
        )
        self.parts = [inner, convolved, heads]
        self.input = nn.Linear(dim, sum(self.parts), bias=bias)
        self.convolution = _convolution(convolved, taps, convolution_bias, spacing)
        self.integral = IntegralOperator(convolved + heads, kernel, out_dim=inner, head_dim=head_dim, pointwise=False)
        self.skip = nn.Parameter(torch.ones(heads))  # D
        self.norm = GatedNorm(inner, groups, epsilon)
        self.output = nn.Linear(inner, dim, bias=bias)

    def forward(self, field: Field) -> Field:
        """Apply the layer; the result has the same points."""
        gate, x, steps = self.input(field.values).split(self.parts, dim=-1)
        x = self.convolution(field.with_values(x)).map(F.silu)
        joined = x.map(lambda values: torch.cat([values, steps], dim=-1))
        return self._combine(x, self.integral(joined), gate)

    def step(self, state: Any, field: Field) -> tuple[Any, Field]:
        """Advance a stream by one point; see `IntegralOperator.step`."""
        taps, past = state or (None, None)
        gate, x, steps = self.input(field.values).split(self.parts, dim=-1)
        taps, x = self.convolution.step(taps, field.with_values(x))
        x = x.map(F.silu)
        past, integral = self.integral.step(past, x.map(lambda values: torch.cat([values, steps], dim=-1)))
        return (taps, past), self._combine(x, integral, gate)

    def _combine(self, x: Field, integral: Field, gate: Tensor) -> Field:
        inner = torch.unflatten(x.values[..., : self.parts[0]], -1, (len(self.skip), -1))
        skipped = integral.values + (self.skip.unsqueeze(-1) * inner).flatten(-2)
        return integral.with_values(self.output(self.norm(skipped, gate)))


class JoinedValues:
    """Maps of a kernel whose field has the values of all heads as its first channels: views, without parameters."""

    heads: int

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return the view of the first channels as heads."""
        return nn.Sequential(ChannelSlice(0, self.heads * head_dim), nn.Unflatten(-1, (self.heads, head_dim)))

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        """Return the view of heads as channels."""
        return nn.Flatten(-2)


class JoinedMamba2Kernel(JoinedValues, Mamba2Kernel):
    """Mamba-2's kernel of a field whose channels are v, B, C, and Δ before its bias, concatenated."""

    def __init__(self, dim: int, **options: Any) -> None:
        super().__init__(1, **options)
        side = self.config.groups * self.config.state
        inner = dim - self.heads - 2 * side
        bounds = [inner, inner + side, inner + 2 * side, dim]
        self.to_state, self.from_state, self.to_step = (ChannelSlice(first, last) for first, last in pairwise(bounds))


class ChannelSlice(nn.Module):
    """View of consecutive channels."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.first, self.last = first, last

    def forward(self, values: Tensor) -> Tensor:
        """Select the channels."""
        return values[..., self.first : self.last]


class GatedNorm(nn.Module):
    """RMS norm of u ⊙ silu(gate) over each group of channels, times a weight for each channel."""

    def __init__(self, dim: int, groups: int, epsilon: float) -> None:
        super().__init__()
        self.groups, self.epsilon = groups, epsilon
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, values: Tensor, gate: Tensor) -> Tensor:
        """Apply the gate and the norm, (B, N, dim)."""
        grouped = torch.unflatten(values * F.silu(gate), -1, (self.groups, -1))
        normed = grouped * (grouped.square().mean(-1, keepdim=True) + self.epsilon).rsqrt()
        return self.weight * normed.flatten(-2)


def _convolution(dim: int, taps: int, bias: bool, spacing: float | None) -> IntegralOperator:
    """Return the causal depthwise convolution."""
    kernel = ConvolutionKernel(dim, kernel_size=(taps,), groups=dim, causal=True, axes="t", bias=bias, spacing=spacing)
    return IntegralOperator(dim, kernel, pointwise=False)
