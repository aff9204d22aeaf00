"""First layer of the MLP kernel on a tile of pairs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from itnet_core.operator.transforms import transform_of


def pre_activation(linear: Tensor, key: Tensor, weight: Tensor, pairs: Tensor) -> Tensor:
    """Compute ⟨linear_c(x), χ(y)⟩ + ⟨weight_c, pairs(x, y)⟩ for each hidden unit c, (B, hidden·n, m).

    The first product may be in half precision; the second product and the sum are in the dtype of `pairs`.

    Args:
        linear: χ(x)ᵀ T, (B, hidden·n, R), hidden units first.
        key: χ(y), (B, m, R).
        weight: (hidden, G).
        pairs: (B, G, n·m).
    """
    if torch.is_autocast_enabled(linear.device.type):
        dtype = torch.get_autocast_dtype(linear.device.type)
        linear, key = linear.to(dtype), key.to(dtype)
    with torch.autocast(linear.device.type, enabled=False):
        if transform_of(linear):
            first = torch.bmm(linear, key.transpose(1, 2)).view(key.shape[0], len(weight), -1)
            both = torch.baddbmm(first.to(pairs.dtype), weight.expand(key.shape[0], -1, -1), pairs)
            return both.view(*linear.shape[:2], -1)
        out: Tensor = _PreActivation.apply(linear, key, weight, pairs)
    return out


class _PreActivation(torch.autograd.Function):
    """Adds the second product in place; out of place, the hidden layer would be copied twice."""

    @staticmethod
    def forward(ctx: Any, linear: Tensor, key: Tensor, weight: Tensor, pairs: Tensor) -> Tensor:
        ctx.save_for_backward(linear, key, weight, pairs)
        first = torch.bmm(linear, key.transpose(1, 2)).to(pairs.dtype)
        first.view(key.shape[0], len(weight), -1).baddbmm_(weight.expand(key.shape[0], -1, -1), pairs)
        return first

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        linear, key, weight, pairs = ctx.saved_tensors
        of_linear, of_key, of_weight, of_pairs = ctx.needs_input_grad
        rows, grad = grad.to(key.dtype), grad.reshape(key.shape[0], len(weight), -1)
        return (
            rows @ key if of_linear else None,
            rows.transpose(1, 2) @ linear if of_key else None,
            (grad @ pairs.transpose(1, 2)).sum(0) if of_weight else None,
            weight.T @ grad if of_pairs else None,
        )
