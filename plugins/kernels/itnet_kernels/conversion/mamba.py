"""Conversion of transformers' Mamba mixers."""

from __future__ import annotations

from math import isinf
from typing import Any, cast

import torch
from torch import Tensor, nn

from itnet_core import Field, FullSampler, IntegralOperator, tracing
from itnet_core.operator.stateless import with_parameters
from itnet_kernels.conversion.converted import ConvertedLayer, remove_parameters
from itnet_kernels.errors import ConversionError
from itnet_kernels.state_space.mixers import Mamba2Mixer, MambaMixer


class FieldMamba(ConvertedLayer):
    """transformers' `MambaMixer` or `Mamba2Mixer` on hidden states, (B, T, hidden), by ITNet's mixer on a field.

    The original's `forward` runs with a cache, which models use by default in evaluation (see `use_cache`), and with
    padding that influences other points in the original.

    Example:
        >>> from transformers import MambaConfig
        >>> from transformers.models.mamba.modeling_mamba import MambaMixer
        >>> mixer, x = MambaMixer(MambaConfig(hidden_size=8, state_size=4), layer_idx=0), torch.randn(2, 5, 8)
        >>> torch.allclose(FieldMamba(mixer)(x), mixer(x), atol=1e-5)
        True

    Args:
        module: the mixer; its parameters are shared.

    Attributes:
        template: ITNet's mixer, without parameters; see `mixer`.

    Raises:
        ConversionError: the activation is not SiLU.
    """

    template: MambaMixer | Mamba2Mixer

    def __init__(self, module: Any) -> None:
        if module.activation not in ("silu", "swish"):
            raise ConversionError(
                f"{type(module).__name__}.activation", found=repr(module.activation), expected="'silu' or 'swish'"
            )
        super().__init__(module)
        with torch.device("meta"):  # the weights are the module's
            mamba2 = type(module).__name__ == "Mamba2Mixer"
            self.template = _mamba2(module) if mamba2 else _mamba(module)
        remove_parameters(self.template)

    @property
    def mixer(self) -> MambaMixer | Mamba2Mixer:
        """ITNet's mixer with the module's current weights; it can be streamed by its `step`."""
        own: Any = self
        weights = {
            "input.weight": own.in_proj.weight,
            "output.weight": own.out_proj.weight,
            "convolution.value.weight": own.conv1d.weight,
            "skip": own.D,
            "integral.kernel.log_decay": own.A_log,
        }
        if isinstance(self.template, Mamba2Mixer):
            weights |= {"integral.kernel.step_bias": own.dt_bias, "norm.weight": own.norm.weight}
        else:
            sizes = [own.time_step_rank, own.ssm_state_size, own.ssm_state_size]
            parts = zip(("to_rank", "to_state", "from_state"), own.x_proj.weight.split(sizes), strict=True)
            weights |= {f"integral.kernel.{name}.weight": part for name, part in parts}
            weights |= {f"integral.kernel.to_step.{name}": part for name, part in own.dt_proj.named_parameters()}
        biases = {"input.bias": own.in_proj, "output.bias": own.out_proj, "convolution.output.bias": own.conv1d}
        weights |= {name: module.bias for name, module in biases.items() if module.bias is not None}
        return with_parameters(self.template, weights)

    def forward(
        self, hidden_states: Tensor, cache_params: Any = None, attention_mask: Tensor | None = None, **options: Any
    ) -> Tensor:
        """Compute the mixer's output, as the original; padding is 0."""
        unknown = cache_params is not None or any(value is not None for value in options.values())
        # Adapters replace these by other modules.
        plain = all(type(part) in (nn.Linear, nn.Conv1d) for name, part in self._modules.items() if name in _MAPS)
        if (
            unknown
            or not plain
            or 0 in hidden_states.shape
            or self._traced()
            or not self._ignores_padding(attention_mask)
        ):
            arguments = {"cache_params": cache_params, "attention_mask": attention_mask, **options}
            return cast(Tensor, super().forward(hidden_states, **arguments))
        batch, steps = hidden_states.shape[:2]
        positions = hidden_states.new_zeros(1, steps, 4, dtype=torch.float32)
        positions[..., 0] = torch.arange(steps, device=positions.device)
        positions = positions.expand(batch, -1, -1)
        if attention_mask is None:
            weights = positions.new_ones(1, 1).expand(batch, steps)
        else:
            hidden_states = hidden_states * attention_mask.unsqueeze(-1).to(hidden_states.dtype)
            weights = attention_mask.to(positions.dtype)
        return self.mixer(Field(hidden_states, positions, weights, grid=(steps,))).values

    def _traced(self) -> bool:
        operators = (part for part in self.template.modules() if isinstance(part, IntegralOperator))
        return tracing() and all(isinstance(operator.sampler, FullSampler) for operator in operators)

    def _ignores_padding(self, mask: Tensor | None) -> bool:
        """Whether padding has no influence in the original: after the points, or before them without a bias."""
        if mask is None:
            return True
        changes, before = mask.int().diff(dim=-1), mask[:, 0] == 0
        between = (changes != 0).sum(-1) > 1 + before.int()
        biased = cast(nn.Linear, self.in_proj).bias is not None
        empty = (mask == 0).all(-1)
        return not bool((between | empty | (before & biased)).any())


_MAPS = {"in_proj", "out_proj", "x_proj", "dt_proj", "conv1d"}


def _mamba(module: Any) -> MambaMixer:
    return MambaMixer(
        module.hidden_size,
        expand=module.intermediate_size / module.hidden_size,
        state=module.ssm_state_size,
        rank=module.time_step_rank,
        taps=module.conv_kernel_size,
        bias=module.in_proj.bias is not None,
        convolution_bias=module.conv1d.bias is not None,
    )


def _mamba2(module: Any) -> Mamba2Mixer:
    least, most = (float(limit) for limit in module.time_step_limit)
    return Mamba2Mixer(
        module.hidden_size,
        expand=module.intermediate_size / module.hidden_size,
        head_dim=module.head_dim,
        state=module.ssm_state_size,
        groups=module.n_groups,
        taps=module.conv_kernel_size,
        bias=module.in_proj.bias is not None,
        convolution_bias=module.conv1d.bias is not None,
        epsilon=module.norm.variance_epsilon,
        clamp_min=least,
        clamp_max=None if isinf(most) else most,
    )
