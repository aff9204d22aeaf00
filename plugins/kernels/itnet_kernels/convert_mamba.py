"""transformers' Mamba mixers as integral operators."""

from __future__ import annotations

from functools import lru_cache
from math import isinf
from typing import Any, cast

import torch
from torch import Tensor, nn

from itnet_core import Field
from itnet_kernels.errors import ConversionError
from itnet_kernels.mamba import MambaKernel
from itnet_kernels.mamba2 import Mamba2Kernel
from itnet_kernels.mixers import Mamba2Mixer, MambaMixer


class FieldMamba(nn.Module):
    """What transformers' `MambaMixer` or `Mamba2Mixer` does to hidden states, (B, T, hidden), by our mixer on a field.

    Args:
        module: the mixer. Its parameters are shared, but for Mamba's `x_proj`, which is copied as three maps.

    Raises:
        ConversionError: its activation is not SiLU.
    """

    def __init__(self, module: Any) -> None:
        super().__init__()
        mamba2 = type(module).__name__ == "Mamba2Mixer"
        self.mixer = mamba2_mixer(module) if mamba2 else mamba_mixer(module)
        self.layer_idx, self.layer_type = module.layer_idx, module.layer_type  # what blocks and caches look at

    def forward(
        self, hidden_states: Tensor, cache_params: Any = None, attention_mask: Tensor | None = None, **options: Any
    ) -> Tensor:
        """Return what the mixer would; padding is 0.

        Raises:
            ConversionError: there is a cache, an unknown option, or padding that the mixer does not treat as absence:
                between points, or before them if its linear map has a bias.
        """
        asked = [name for name, value in options.items() if value is not None]
        if cache_params is not None or asked:
            raise ConversionError(
                "FieldMamba.forward",
                found=", ".join(["cache_params"] * (cache_params is not None) + asked),
                expected="hidden states and an attention mask",
                mend="Call the model with use_cache=False; a stream goes through `mixer.step`.",
            )
        batch, steps = hidden_states.shape[:2]
        positions = _timeline(steps, hidden_states.device).expand(batch, -1, -1)
        if attention_mask is None:
            weights = positions.new_ones(batch, steps)
        else:
            self._check(attention_mask)
            hidden_states = hidden_states * attention_mask.unsqueeze(-1).to(hidden_states.dtype)
            weights = attention_mask.to(positions.dtype)
        return cast(Tensor, self.mixer(Field(hidden_states, positions, weights, grid=(steps,))).values)

    def _check(self, mask: Tensor) -> None:
        changes = mask.int().diff(dim=-1)
        before = mask[:, 0] == 0
        between = (changes != 0).sum(-1) > 1 + before.int()
        if bool(between.any()) or (self.mixer.input.bias is not None and bool(before.any())):
            raise ConversionError(
                "FieldMamba.forward(attention_mask)",
                found="padding between points" if bool(between.any()) else "padding before points, with use_bias",
                expected="padding after the points",
            )


def mamba_mixer(module: Any) -> MambaMixer:
    """Return transformers' `MambaMixer` as ours, with the same parameters; `x_proj` is copied as three maps.

    Raises:
        ConversionError: its activation is not SiLU.
    """
    _check_activation(module)
    with torch.device("meta"):  # the weights are the module's
        mixer = MambaMixer(
            module.hidden_size,
            expand=module.intermediate_size / module.hidden_size,
            state=module.ssm_state_size,
            rank=module.time_step_rank,
            taps=module.conv_kernel_size,
        )
    kernel = cast(MambaKernel, mixer.integral.kernel)
    sizes = [module.time_step_rank, module.ssm_state_size, module.ssm_state_size]
    parts = module.x_proj.weight.detach().split(sizes)
    for linear, weight in zip((kernel.to_rank, kernel.to_state, kernel.from_state), parts, strict=True):
        linear.weight = nn.Parameter(weight.clone())
    kernel.to_step, kernel.log_decay = module.dt_proj, module.A_log
    _share(mixer, module)
    return mixer


def mamba2_mixer(module: Any) -> Mamba2Mixer:
    """Return transformers' `Mamba2Mixer` as ours, with the same parameters.

    Raises:
        ConversionError: its activation is not SiLU.
    """
    _check_activation(module)
    least, most = (float(limit) for limit in module.time_step_limit)
    with torch.device("meta"):  # the weights are the module's
        mixer = Mamba2Mixer(
            module.hidden_size,
            expand=module.intermediate_size / module.hidden_size,
            head_dim=module.head_dim,
            state=module.ssm_state_size,
            groups=module.n_groups,
            taps=module.conv_kernel_size,
            epsilon=module.norm.variance_epsilon,
            least_step=least,
            most_step=None if isinf(most) else most,
        )
    kernel = cast(Mamba2Kernel, mixer.integral.kernel)
    kernel.step_bias, kernel.log_decay, mixer.norm.weight = module.dt_bias, module.A_log, module.norm.weight
    _share(mixer, module)
    return mixer


def _share(mixer: MambaMixer | Mamba2Mixer, module: Any) -> None:
    """Give the mixer the parameters that both kinds have."""
    convolution = mixer.convolution
    convolution.value.weight, convolution.output.bias = module.conv1d.weight, module.conv1d.bias
    mixer.input, mixer.output, mixer.skip = module.in_proj, module.out_proj, module.D


def _check_activation(module: Any) -> None:
    if module.activation not in ("silu", "swish"):
        raise ConversionError(
            f"{type(module).__name__}.activation", found=repr(module.activation), expected="'silu' or 'swish'"
        )


@lru_cache(maxsize=64)
def _timeline(steps: int, device: torch.device) -> Tensor:
    """Return the positions 0, 1, 2, … on the time axis, (1, steps, 4)."""
    positions = torch.zeros(1, steps, 4, device=device)
    positions[..., 0] = torch.arange(steps, device=device)
    return positions
