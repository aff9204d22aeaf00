"""The paper's MLP kernel computed by its definition, slowly and with all pairs in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from itnet_core import ACTIVATIONS, Field, MLPKernel


def concatenated_mlp(kernel: MLPKernel, query: Field, key: Field) -> Tensor:
    """Return k of shape (B, heads, N, M), from the concatenated inputs z of all pairs, (B, N, M, inputs)."""
    x, y = query.positions.unsqueeze(2), key.positions.unsqueeze(1)
    ux, uy = kernel.content(query.values).unsqueeze(2), kernel.content(key.values).unsqueeze(1)
    phase = 2 * torch.pi * (x - y) @ kernel.frequency_matrix.to(x.dtype).T
    pairs = (query.values.shape[0], query.values.shape[1], key.values.shape[1], -1)
    parts = {
        "query": ux.expand(pairs),
        "key": uy.expand(pairs),
        "product": ux * uy,
        "bilinear": (ux.unsqueeze(-1) * uy.unsqueeze(-2)).flatten(-2),
        "displacement": x - y,
        "distance": (x - y).square().sum(-1, keepdim=True),
        "fourier": torch.cat([phase.cos(), phase.sin()], dim=-1),
    }
    z = torch.cat([parts[name] for name in kernel.config.inputs], dim=-1)
    return kernel.second(ACTIVATIONS[kernel.config.activation](kernel.first(z))).permute(0, 3, 1, 2)
