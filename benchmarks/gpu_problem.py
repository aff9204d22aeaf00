"""Random problems that `gpu.py` checks and times: a kernel, points and values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from itnet_core import Field, MLPKernel
from itnet_core.kernel import Points
from itnet_core.kernels.mlp import PointTerms


@dataclass(frozen=True, eq=False)
class Problem:
    """A kernel, its terms for N points in the plane, weights and values."""

    kernel: MLPKernel
    query: Points
    key: Points
    values: Tensor

    @property
    def leaves(self) -> list[Tensor]:
        """What gradients are taken to."""
        parameters = [each for name, each in self.kernel.named_parameters() if name != "content.weight"]
        return [self.query.terms.features, self.key.terms.features, self.values, *parameters]

    @property
    def operations(self) -> int:
        """Multiplications and additions that the sums need, padding and the activation not counted."""
        batch, keys, heads, head_dim = self.values.shape
        pair = 2 * (self.kernel.config.hidden * (self.kernel.inputs.width + heads) + heads * head_dim)
        return batch * self.query.positions.shape[1] * keys * pair

    def to(self, dtype: torch.dtype) -> Problem:
        """Return the same numbers in another dtype, as new leaves."""
        kernel = MLPKernel(self.kernel.content.in_features, self.kernel.config).to(self.values.device, dtype)
        kernel.load_state_dict(self.kernel.state_dict())
        wide = torch.promote_types(dtype, torch.float32)

        def side(points: Points) -> Points:
            features = points.terms.features.detach().to(dtype, copy=True).requires_grad_()
            return points._replace(terms=PointTerms(features, points.terms.positions.to(wide)))

        values = self.values.detach().to(dtype, copy=True).requires_grad_()
        return Problem(kernel, side(self.query), side(self.key), values)


def problem(
    points: int, dtype: torch.dtype, device: str, *, head_dim: int = 16, padding: bool = False, **options: Any
) -> Problem:
    """Return one sample of N points of random positions, values and terms, in the numbers of `dtype`."""
    torch.manual_seed(0)
    small = {"hidden": 2, "rank": 2, "frequencies": 1}  # the interpreter takes its time
    sizes: dict[str, Any] = {} if device == "cuda" else small
    kernel = MLPKernel(64, position_dim=2, **sizes, **options).to(device)
    weights = torch.full((1, points), 1.0 / points, device=device)
    if padding:
        weights = weights * (torch.arange(points, device=device) % 5 != 3)
    places = 2 * torch.rand(1, points, 2, device=device) - 1
    field = Field(torch.randn(1, points, 64, device=device), places, weights)
    query, key = (Points(terms, field.positions, field.weights.to(dtype)) for terms in kernel.project(field, field))
    return Problem(kernel, query, key, torch.randn(1, points, kernel.heads, head_dim, device=device)).to(dtype)
