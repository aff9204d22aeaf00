"""Additive kernels and their sums (docs/operator.md, §2).

With no inputs but ũ(x), ũ(y) and x − y, the MLP kernel's hidden layer is σ(a_c(x) + b_c(y)), a function of a sum, and

    Σ_j w_j k_h(i, j) v_jh = Σ_c W_hc Σ_j σ(a_ci + b_cj) w_j v_jh + β_h Σ_j w_j v_jh,

where W and β are the weights and biases of the second layer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor

from itnet_core import MLPKernel, PointTerms, Problem, Unsupported
from itnet_core.operator.mlp import ADDITIVE


class Sides(NamedTuple):
    """Arguments of the sum Σ_c W_c ∘ Σ_j σ(a_ci + b_cj) w_j v_j.

    Attributes:
        a: a of the query points, (B, N, hidden); it includes the first layer's bias.
        b: b of the key points, (B, M, hidden).
        second: W, repeated for the channels of each head, (hidden, heads·head_dim).
        weighted: w_j v_j, (B, M, heads·head_dim).
    """

    a: Tensor
    b: Tensor
    second: Tensor
    weighted: Tensor


def not_additive(problem: Problem, activations: tuple[str, ...]) -> Unsupported | None:
    """Return why the kernel is not an additive MLP kernel without softmax and support, or `None` if it is."""
    kernel = problem.kernel
    if type(kernel) is not MLPKernel:  # a subclass may override `tile`
        return Unsupported(f"the kernel {type(kernel).__name__}", "MLPKernel itself")
    if not kernel.additive:
        others = ", ".join(name for name in kernel.config.inputs if name not in ADDITIVE)
        return Unsupported(f"the inputs {others}", f"inputs among {', '.join(sorted(ADDITIVE))}")
    if kernel.config.activation not in activations:
        return Unsupported(f"the activation {kernel.config.activation}", f"one of {', '.join(activations)}")
    if kernel.normalization != "none":
        return Unsupported(f"the normalization {kernel.normalization}", "none")
    if not kernel.support.everywhere:
        return Unsupported(f"the support {kernel.support.model_dump(exclude_defaults=True)}", "every pair")
    return None


def separate(problem: Problem[PointTerms]) -> Sides:
    """Compute the arguments of the sum, in float32 at least; see `MLPKernel.separate`."""
    kernel, values = cast(MLPKernel, problem.kernel), problem.values
    a, b = kernel.separate(problem)
    dtype = torch.promote_types(a.dtype, values.dtype)
    a, b = a.to(dtype), b.to(dtype)
    weighted, _ = replace(problem, values=values.to(dtype)).weighted_values()
    second = kernel.second.weight.to(dtype).T.repeat_interleave(values.shape[-1], dim=1)
    return Sides(a, b, second, weighted.expand(-1, -1, kernel.heads, -1).flatten(2))


def with_constant(sums: Tensor, sides: Sides, problem: Problem[PointTerms]) -> Tensor:
    """Add β_h Σ_j w_j v_jh to sums (B, N, heads·head_dim), and return (B, N, heads, head_dim) in the values' dtype."""
    bias = cast(MLPKernel, problem.kernel).second.bias
    shape = len(bias), problem.values.shape[-1]
    total = sides.weighted.sum(1).view(-1, 1, *shape)
    return (sums.view(*sums.shape[:2], *shape) + total * bias.to(total.dtype).unsqueeze(-1)).to(problem.values.dtype)
