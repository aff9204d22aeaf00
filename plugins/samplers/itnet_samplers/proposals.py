"""Proposals: log densities relative to the field's measure."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from itnet_core import Field, ShapeError


class LearnedDensity(nn.Module):
    """g_φ(y, u(y)), an MLP of value and position: p_φ(y) ∝ w(y) exp g_φ (docs/operator.md, §5).

    It starts near 0, where p ∝ w. Values are detached, so that training p does not change them.

    Args:
        dim: channels of the fields.
        position_dim: coordinates of a position.
        hidden: hidden units.
    """

    def __init__(self, dim: int, position_dim: int, hidden: int) -> None:
        super().__init__()
        self.position_dim = position_dim
        self.hidden = nn.Linear(dim + position_dim, hidden)
        self.last = nn.Linear(hidden, 1, bias=False)  # a constant does not change p
        with torch.no_grad():
            self.last.weight.mul_(0.1)

    def forward(self, key: Field) -> Tensor:
        """Compute g at the points, (B, N).

        Raises:
            ShapeError: the number of coordinates of the positions is not `position_dim`.
        """
        if key.positions.shape[-1] != self.position_dim:
            raise ShapeError(
                "MonteCarloSampler",
                found=f"positions of {key.positions.shape[-1]} coordinates",
                expected=f"position_dim = {self.position_dim}",
                hint="Give the sampler the position_dim of the fields.",
            )
        weights = key.weights.unsqueeze(-1)
        centre = (weights * key.positions).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
        known = torch.cat([key.values, (key.positions - centre).to(key.values.dtype)], dim=-1).detach()
        return self.last(nn.functional.gelu(self.hidden(known.to(self.last.weight.dtype)))).squeeze(-1)


def log_proposal(density: Tensor | None, weights: Tensor, defensive: float) -> Tensor:
    """Compute log p of the points, (B, N); −∞ where the weight is 0.

    p = (1 − ε) w d / Σ w d + ε w / Σ w, for a density d relative to the measure. The second part bounds the weights
    w / (M p) by Σ w / (ε M) for any d (Hesterberg, Technometrics 37, 1995).

    Args:
        density: log d, (B, N), with gradient where d is learned; `None` for d = 1.
        weights: w, (B, N).
        defensive: ε.
    """
    present = weights > 0
    measure = torch.where(present, weights.detach(), 1.0).log().masked_fill(~present, -torch.inf)
    measure = measure - measure.logsumexp(-1, keepdim=True)
    if density is None:
        return measure
    sharp = (density.to(measure.dtype) + measure.masked_fill(~present, 0.0)).masked_fill(~present, -torch.inf)
    sharp = sharp - sharp.logsumexp(-1, keepdim=True)
    if defensive == 0:
        return sharp
    parts = torch.stack([sharp + torch.tensor(1 - defensive).log(), measure + torch.tensor(defensive).log()])
    return torch.where(present, parts.masked_fill(~present, 0.0).logsumexp(0), -torch.inf)
