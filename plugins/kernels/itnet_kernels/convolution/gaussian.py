"""A Gaussian of the distance."""

from __future__ import annotations

from math import log
from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from itnet_core import ComponentConfig, Field, Kernel, Normalization, Support


class GaussianKernel(Kernel[Any, Any]):
    """k_h(x, y) = exp(−‖x − y‖² / 2ℓ_h²), with a learned length ℓ_h for each head.

    With `softmax` it is the Nadaraya-Watson estimator with the kernel exp(k).
    """

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            heads: scalar kernels.
            shortest: ℓ of the first head at the start; the others lie evenly, on a logarithmic scale, up to `longest`.
            longest: ℓ of the last head at the start.
            normalization: `none` or `softmax`.
            support: the pairs that the integral runs over.
        """

        heads: PositiveInt = 4
        shortest: PositiveFloat = 0.1
        longest: PositiveFloat = 1.0
        normalization: Normalization = "none"
        support: Support = Support()

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.normalization, self.support = c.heads, c.normalization, c.support
        self.log_length = nn.Parameter(torch.linspace(log(c.shortest), log(c.longest), c.heads))

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return the positions of both, in float32 at least: in bfloat16 neighbours far from the origin would meet."""
        dtype = torch.promote_types(self.log_length.dtype, torch.float32)
        return query.positions.to(dtype), key.positions.to(dtype)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Return k of shape (B, heads, n, m)."""
        squares = (query_terms.unsqueeze(2) - key_terms.unsqueeze(1)).square().sum(-1)
        squares = squares.clamp(max=torch.finfo(squares.dtype).max ** 0.75)  # room for what they are multiplied by
        lengths = self.log_length.to(squares.dtype).exp().view(-1, 1, 1)
        return (squares.unsqueeze(1) * (-0.5 / lengths.square())).exp().to(self.log_length.dtype)

    @property
    def pair_width(self) -> int:
        """A tile holds the differences of four coordinates beside the heads."""
        return self.heads + 4
