"""Conversion of transformers' layers that scan the past: Mamba, Mamba-2, RWKV and those that share their scans."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from math import inf, isinf
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from itnet_core import Field, FullSampler, IntegralOperator, Kernel, tracing
from itnet_core.operator.stateless import with_parameters
from itnet_kernels.conversion.converted import takes_fast_path
from itnet_kernels.conversion.grid import FUNCTIONS, CallingLayer, OperatorForm
from itnet_kernels.conversion.scan_kernels import JoinedMambaKernel, RWKVKernel
from itnet_kernels.errors import ConversionError
from itnet_kernels.state_space.mixers import JoinedMamba2Kernel


class ScanningLayer(CallingLayer):
    """A layer of transformers whose `forward` calls a function of `SCANS`, which an integral operator computes.

    The original's `forward` runs, with the function replaced: it reads and writes caches, and treats padding, as
    before. A step from a cache, which holds the integral over the past, is the original's. Convolutions in `forward`
    are computed by an operator too, as in a `CallingLayer`.

    Example:
        >>> from transformers import MambaConfig
        >>> from transformers.models.mamba.modeling_mamba import MambaMixer
        >>> mixer, x = MambaMixer(MambaConfig(hidden_size=8, state_size=4), layer_idx=0), torch.randn(2, 5, 8)
        >>> torch.allclose(ScanningLayer(mixer)(x), mixer(x), atol=1e-5)
        True

    Args:
        module: the layer; its parameters are shared.

    Attributes:
        integral: the operator of the scan, with the kernel and the channels of the last call.
    """

    integral: IntegralOperator

    def __init__(self, module: Any) -> None:
        super().__init__(module, tuple(FUNCTIONS))
        self.integral = OperatorForm(RWKVKernel, 2, 1, 1, {"dim": 1}).build()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the original's `forward`, with its scan by the operator.

        Raises:
            ConversionError: the scan has options that are not those of transformers' own layers.
        """
        empty = any(0 in leaf.shape for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        if empty or (tracing() and isinstance(self.integral.sampler, FullSampler)):
            return super().forward(*args, **kwargs)
        original = self.original
        scans = {name: partial(scan, self) for name, scan in SCANS.items()}
        changed = FunctionType(original.__code__, original.__globals__ | scans, None, None, original.__closure__)
        changed.__defaults__, changed.__kwdefaults__ = original.__defaults__, original.__kwdefaults__
        return self.compute(changed, self, *args, **kwargs)

    @property
    def original(self) -> Any:
        """The function that is the original's `forward`, without what decorates it."""
        cls: Any = type(self).__bases__[-1]
        return inspect.unwrap(cls.forward)

    def integrate(
        self,
        values: Tensor,
        weights: Mapping[str, Tensor],
        kernel: Callable[..., Kernel],
        channels: int,
        head_dim: int,
        *,
        queries: int = 0,
        **options: Any,
    ) -> Tensor:
        """Integrate values, (B, M, dim), at the times 0, 1, …: (B, N, channels).

        Args:
            values: at the key's points.
            weights: of the kernel, by name.
            kernel: of the operator.
            channels: of the result.
            head_dim: channels of a head.
            queries: the number of the last points that are query points; all by default.
            options: of the kernel.
        """
        self.integral = OperatorForm(kernel, values.shape[-1], channels, head_dim, options).fit(self.integral)
        operator = with_parameters(self.integral, {f"kernel.{name}": weight for name, weight in weights.items()})
        points = values.shape[1]
        positions = values.new_zeros(len(values), points, 4, dtype=torch.float32)
        positions[..., 0] = torch.arange(points, device=values.device)
        key = Field(values, positions, grid=(points,))
        if not queries or queries == points:
            return operator(key).values
        return operator(Field(values[:, -queries:], positions[:, -queries:]), key).values


def selective_scan(
    layer: ScanningLayer,
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    **options: Any,
) -> Any:
    """Compute Mamba's scan of (B, channels, T), as `mamba_selective_scan`."""
    _require(delta_softplus, "delta_softplus", delta_softplus)
    dt = dt if delta_bias is None else dt + delta_bias.to(dt.dtype).unsqueeze(-1)
    joined = torch.cat([part.transpose(1, 2).to(hidden_states.dtype) for part in (hidden_states, dt, B, C)], dim=-1)
    channels = hidden_states.shape[1]
    weights = {"log_decay": (-A).log()}
    sizes = {"dim": channels, "state": A.shape[-1]}
    out = layer.integrate(joined, weights, JoinedMambaKernel, channels, 1, **sizes).transpose(1, 2)
    if D is not None:
        out = out + hidden_states * D[:, None]
    if z is not None:
        out = out * F.silu(z)
    if not return_last_state:
        return out
    steps = F.softplus(dt).float()
    left = steps.flip(-1).cumsum(-1).flip(-1) - steps  # the time from a point to the end
    driven = steps * hidden_states.float()
    states = [
        ((rate.unsqueeze(-1) * left).exp() * driven * part.unsqueeze(1)).sum(-1)
        for rate, part in zip(A.unbind(-1), B.float().unbind(1), strict=True)
    ]
    return out, torch.stack(states, dim=-1)


def chunk_scan(
    layer: ScanningLayer,
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    chunk_size: int,
    D: Tensor | None = None,
    dt_bias: Tensor | None = None,
    initial_states: Tensor | None = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = (0.0, inf),
    return_final_states: bool = False,
    **options: Any,
) -> Any:
    """Compute Mamba-2's scan of (B, T, heads, channels), as `mamba2_chunk_scan`."""
    _require(dt_softplus, "dt_softplus", dt_softplus)
    _require(options.get("z") is None, "z", "a tensor")
    heads, head_dim, groups = *hidden_states.shape[2:], B.shape[2]
    least, most = (float(limit) for limit in dt_limit)
    joined = torch.cat([hidden_states.flatten(2), B.flatten(2), C.flatten(2), dt], dim=-1)
    bias = dt.new_zeros(heads) if dt_bias is None else dt_bias
    sizes: dict[str, Any] = {"dim": joined.shape[-1], "heads": heads, "groups": groups, "state": B.shape[3]}
    sizes |= {"clamp_min": least, "clamp_max": None if isinf(most) else most}
    weights = {"log_decay": (-A).log(), "step_bias": bias}
    out = layer.integrate(joined, weights, JoinedMamba2Kernel, heads * head_dim, head_dim, **sizes)
    out = torch.unflatten(out, -1, (heads, -1))
    if D is not None:
        out = out + D.unsqueeze(-1) * hidden_states
    if initial_states is None and not return_final_states:
        return out
    steps = F.softplus((dt + bias).float()).clamp(least, most)
    inputs, outputs = (side.float().repeat_interleave(heads // groups, dim=2) for side in (B, C))
    passed = (A.float() * steps).cumsum(1)  # (B, T, heads)
    if initial_states is not None:
        states = initial_states.float()
        out = out + torch.einsum("bth,bthn,bhpn->bthp", passed.exp(), outputs, states).to(out.dtype)
    if not return_final_states:
        return out
    driven = ((passed[:, -1:] - passed).exp() * steps).unsqueeze(-1) * hidden_states.float()
    final = torch.einsum("bthp,bthn->bhpn", driven, inputs)
    return out, final if initial_states is None else final + passed[:, -1].exp()[..., None, None] * states


def rwkv_attention(
    layer: ScanningLayer,
    time_decay: Tensor,
    time_first: Tensor,
    key: Tensor,
    value: Tensor,
    state: Any = None,
    return_state: bool = False,
) -> Any:
    """Compute RWKV's attention over the past, (B, T, channels), as `rwkv_linear_attention`.

    The state is that of one point before the first: its value and its κ stand for all points before.
    """
    if takes_fast_path(layer.integral):
        return layer.original.__globals__["rwkv_linear_attention"](
            time_decay, time_first, key, value, state=state, return_state=return_state
        )
    points, channels = key.shape[1:]
    decay, keys, values = time_decay.float().exp(), key.float(), value.float()
    counts = torch.ones_like(keys)
    if state is not None:
        sums, count, largest = (part.float().unsqueeze(1) for part in state)
        known = count.clamp(min=torch.finfo(torch.float32).tiny)
        values, counts = torch.cat([sums / known, values], dim=1), torch.cat([known, counts], dim=1)
        keys = torch.cat([largest, keys], dim=1)
    joined, weights = torch.cat([values, keys + counts.log()], dim=-1), {"decay": decay, "bonus": time_first.float()}
    out = layer.integrate(joined, weights, RWKVKernel, channels, 1, queries=points, dim=channels).to(key.dtype)
    if not return_state and state is None:
        return out, None
    left = torch.arange(keys.shape[1] - 1, -1, -1, device=key.device, dtype=torch.float32)
    logits = keys - decay * left.unsqueeze(-1)
    largest = logits.amax(1)
    parts = (logits - largest.unsqueeze(1)).exp() * counts
    return out, [(parts * values).sum(1), parts.sum(1), largest]


SCANS: Mapping[str, Callable[..., Any]] = {
    "mamba_selective_scan": selective_scan,
    "mamba2_chunk_scan": chunk_scan,
    "rwkv_linear_attention": rwkv_attention,
}
"""Functions of transformers that an operator computes, by name."""


def scans(cls: type[nn.Module]) -> bool:
    """Whether the `forward` of a class of transformers calls a function of `SCANS`."""
    if not cls.__module__.startswith("transformers."):
        return False
    forward = inspect.unwrap(cls.forward)
    return isinstance(forward, FunctionType) and any(
        name in SCANS and name in forward.__globals__ for name in forward.__code__.co_names
    )


def _require(met: bool, option: str, found: Any) -> None:
    if not met:
        raise ConversionError(f"the scan's {option}", found=str(found), expected="what transformers' own layers give")
