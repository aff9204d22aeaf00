"""A Gaussian of the distance."""

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from itnet_core import ComponentConfig, Field, Kernel, Normalization, ScalarConfig, Support, precise


class GaussianKernel(Kernel[Tensor, None]):
    """k_h(x, y) = exp(−‖x − y‖² / 2ℓ_h²), with a learned length ℓ_h for each head, initialised evenly in log ℓ.

    Example:
        >>> GaussianKernel(16, heads=3, shortest=0.1, longest=10.0).log_length.exp()
        tensor([ 0.1000,  1.0000, 10.0000], grad_fn=<ExpBackward0>)
    """

    pointwise_terms = True

    class Config(ScalarConfig):
        heads: PositiveInt = 4
        """Number of scalar kernels."""
        shortest: PositiveFloat = 0.1
        """Initial length of the first head."""
        longest: PositiveFloat = 1.0
        """Initial length of the last head."""
        normalization: Normalization = "none"
        """`none` or `softmax`."""
        support: Support = Support()
        """Pairs that the integral runs over."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: object) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.normalization, self.values, self.support = c.heads, c.normalization, c.values, c.support
        self.log_length = nn.Parameter((c.shortest * (c.longest / c.shortest) ** torch.linspace(0, 1, c.heads)).log())

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return the positions of both."""
        return precise(query.positions), precise(key.positions)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Compute k, shape (B, heads, n, m)."""
        squares = (query_terms.unsqueeze(2) - key_terms.unsqueeze(1)).square().sum(-1).clamp(max=1e28)  # finite
        factors = -0.5 * (-2 * self.log_length.to(squares.dtype)).exp().view(-1, 1, 1)
        return (squares.unsqueeze(1) * factors).exp().to(self.log_length.dtype)

    @property
    def pair_width(self) -> int:
        """The heads, and the differences of four coordinates."""
        return self.heads + 4
