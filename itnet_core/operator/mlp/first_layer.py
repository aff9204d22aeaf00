"""First layer of the MLP kernel on a tile of pairs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from itnet_core.operator.transforms import transform_of


def pre_activation(linear: Tensor, key: Tensor, weight: Tensor, pairs: Tensor) -> Tensor:
    """Compute ⟨linear_c(x), χ(y)⟩ + ⟨weight_c, pairs(x, y)⟩ for each hidden unit c, (B, hidden, n·m).

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
            return torch.baddbmm(first.to(pairs.dtype), weight.expand(key.shape[0], -1, -1), pairs)
        out: Tensor = _PreActivation.apply(linear, key, weight, pairs)
    return out


class _PreActivation(torch.autograd.Function):
    """Adds the first product in place; out of place, the hidden layer would be copied twice.

    The output is no view: an activation in place of a view would copy its gradient twice.
    """

    @staticmethod
    def forward(ctx: Any, linear: Tensor, key: Tensor, weight: Tensor, pairs: Tensor) -> Tensor:
        ctx.save_for_backward(linear, key, weight, pairs)
        out = torch.bmm(weight.expand(key.shape[0], -1, -1), pairs)
        rows = out.view(*linear.shape[:2], -1)
        if linear.dtype == out.dtype:
            torch.baddbmm(rows, linear, key.transpose(1, 2), out=rows)  # which counts as FLOPs, as baddbmm_ does not
        else:
            rows.add_(torch.bmm(linear, key.transpose(1, 2)))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        linear, key, weight, pairs = ctx.saved_tensors
        of_linear, of_key, of_weight, of_pairs = ctx.needs_input_grad
        rows = grad.to(key.dtype).reshape(*linear.shape[:2], -1)
        return (
            rows @ key if of_linear else None,
            rows.transpose(1, 2) @ linear if of_key else None,
            (grad @ pairs.transpose(1, 2)).sum(0) if of_weight else None,
            weight.T @ grad if of_pairs else None,
        )
