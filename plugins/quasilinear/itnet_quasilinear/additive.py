"""Which kernels are additive, and their two sides (OPERATOR §2).

With no inputs but ũ(x), ũ(y) and x − y, the MLP kernel's hidden layer is σ(a_c(x) + b_c(y)), a function of a sum, and

    Σ_j w_j k_h(i, j) v_jh = Σ_c W_hc Σ_j σ(a_ci + b_cj) w_j v_jh + β_h Σ_j w_j v_jh,   W and β the second layer's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from itnet_core import ConfigError, Kernel, MLPKernel, Points
from itnet_core.operator.mlp import ADDITIVE


class Sides(NamedTuple):
    """The parts of a sum over an additive kernel's pairs.

    Attributes:
        a: what the query points add to the hidden units, (B, N, hidden), the first layer's bias included.
        b: what the key points add, (B, M, hidden).
        second: W, the hidden units' weights in each channel of the result, (hidden, heads·head_dim).
        weighted: w_j v_j, (B, M, heads·head_dim).
    """

    a: Tensor
    b: Tensor
    second: Tensor
    weighted: Tensor


def mismatch(kernel: Kernel, activations: tuple[str, ...]) -> str:
    """Return what keeps a kernel from being summed as an additive one, or nothing: by what it declares alone."""
    if type(kernel) is not MLPKernel:  # a subclass may have another `tile`
        return f"a {type(kernel).__name__}"
    if not kernel.additive:
        return f"the inputs {', '.join(name for name in kernel.config.inputs if name not in ADDITIVE)}"
    if kernel.config.activation not in activations:
        return f"the activation {kernel.config.activation}"
    if kernel.normalization != "none":
        return f"the normalization {kernel.normalization}"
    if not kernel.support.everywhere:
        return f"the support {kernel.support.model_dump(exclude_defaults=True)}"
    return ""


def refuse_mismatch(kernel: Kernel, activations: tuple[str, ...], place: str) -> None:
    """Refuse a kernel that is not additive.

    Raises:
        ConfigError: it has a `mismatch`.
    """
    if found := mismatch(kernel, activations):
        raise ConfigError(
            f"{place}(kernel)",
            found=found,
            expected=f"an MLPKernel with inputs among {', '.join(sorted(ADDITIVE))}, an activation among"
            f" {', '.join(activations)}, normalization none and no support",
            hint="Use the evaluator 'auto' or 'tiled'.",
        )


def separate(kernel: MLPKernel, query: Points, key: Points, values: Tensor) -> Sides:
    """Return the parts of the sum, in float32 at least; see `MLPKernel.separate`."""
    a, b = kernel.separate(query, key)
    dtype = torch.promote_types(a.dtype, values.dtype)
    a, b = a.to(dtype), b.to(dtype)
    weighted = (values.to(dtype) * key.weights[..., None, None].to(dtype)).flatten(2)
    second = kernel.second.weight.to(dtype).T.repeat_interleave(values.shape[-1], dim=1)
    return Sides(a, b, second, weighted)


def constant_part(kernel: MLPKernel, sides: Sides, values: Tensor) -> Tensor:
    """Return β_h Σ_j w_j v_jh, (B, 1, heads, head_dim)."""
    total = sides.weighted.sum(1).view(len(values), 1, *values.shape[2:])
    return total * kernel.second.bias.to(total.dtype).unsqueeze(-1)
