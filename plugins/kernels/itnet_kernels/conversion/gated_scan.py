"""Conversion of RecurrentGemma's layer that scans the past."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from itnet_core import Field
from itnet_kernels.causal import CausalKernel
from itnet_kernels.conversion.converted import takes_fast_path
from itnet_kernels.conversion.scans import ScanningLayer
from itnet_kernels.numerics.timeline import potentials
from itnet_kernels.state_space.mixers import JoinedValues


class GatedScanKernel(JoinedValues, CausalKernel[Tensor, None]):
    """Kernel of a gated linear recurrence, h_t = a_t h_{t−1} + v_t: k(t, s) = ∏_{s < r ≤ t} a_r for each channel.

    De et al., arXiv 2402.19427, §2.4. A field's channels are v, log a, and 1 where the state is reset, concatenated; at
    a reset, log a is 0 in place of −∞, and points on both sides have k = 0.

    Example:
        >>> operator = IntegralOperator(7, GatedScanKernel(3), out_dim=3, head_dim=1, pointwise=False)
        >>> joined = torch.cat([torch.randn(1, 20, 3), -torch.rand(1, 20, 3), torch.zeros(1, 20, 1)], dim=-1)
        >>> operator(Field.on_grid(joined, axes="t")).values.shape
        torch.Size([1, 20, 3])

    Args:
        dim: channels of v, and heads.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.heads = dim

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Compute Σ log a and the number of resets up to a point, (B, points, heads + 1), in float64."""
        increments = key.values[..., self.heads :]
        return potentials(increments, self.time(query.positions), self.time(key.positions), key.weights)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Compute k, shape (B, heads, n, m)."""
        passed = query_terms.transpose(1, 2).unsqueeze(3) - key_terms.transpose(1, 2).unsqueeze(2)
        return passed[:, :-1].clamp(max=0).exp() * (passed[:, -1:] == 0)

    def can_integrate(self, problem: object) -> bool:
        """Return `False`: the layer's own loop is the fast path."""
        return False


class GatedScanLayer(ScanningLayer):
    """RecurrentGemma's RG-LRU, whose scan an integral operator computes.

    The original's `forward` runs, with its scan replaced. A step from the last state, which holds the integral over the
    past, is the original's, and so is its loop over the points, where the operator takes its fast path.

    Example:
        >>> from transformers import RecurrentGemmaConfig
        >>> from transformers.models.recurrent_gemma.modeling_recurrent_gemma import RecurrentGemmaRglru
        >>> unit = RecurrentGemmaRglru(RecurrentGemmaConfig(lru_width=8, num_attention_heads=2))
        >>> _ = [torch.nn.init.normal_(weight) for weight in unit.parameters()]
        >>> x, positions = torch.randn(2, 5, 8), torch.arange(5).unsqueeze(0)
        >>> torch.equal(GatedScanLayer(unit)(x, positions), unit(x, positions))
        True

    Args:
        module: the layer; its parameters are shared.
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the original's `forward`, with its scan by the operator."""
        return self.original(self, *args, **kwargs)

    def _rnn_scan(
        self,
        hidden_states: Tensor,
        recurrent_gate: Tensor,
        reset: Tensor,
        recurrent_states: Tensor | None,
        acc_dtype: torch.dtype = torch.float32,
    ) -> tuple[Tensor, Tensor]:
        """Compute the scan of (B, T, channels), and the last state, as the original's method of this name."""
        if takes_fast_path(self.integral) or 0 in hidden_states.shape or hidden_states.shape[1] == 1:
            original: Any = type(self).__bases__[-1]
            scanned: tuple[Tensor, Tensor] = original._rnn_scan(
                self, hidden_states, recurrent_gate, reset, recurrent_states, acc_dtype
            )
            return scanned
        values = hidden_states.to(torch.promote_types(hidden_states.dtype, acc_dtype))
        gates = recurrent_gate.to(values.dtype).clamp(min=torch.finfo(values.dtype).tiny)
        rates = gates.log().masked_fill(reset, 0.0)
        resets = reset.expand(*values.shape[:2], 1).to(values.dtype)  # positions may be those of all samples
        joined, channels = torch.cat([values, rates, resets], dim=-1), values.shape[-1]
        out = self.integrate(joined, {}, GatedScanKernel, channels, 1, dim=channels)
        if recurrent_states is not None:
            kept = rates.cumsum(1).exp() * (reset.cumsum(1) == 0)
            out = out + kept * recurrent_states.to(out).unsqueeze(1)
        return out.to(hidden_states.dtype), out[:, -1].to(acc_dtype)
