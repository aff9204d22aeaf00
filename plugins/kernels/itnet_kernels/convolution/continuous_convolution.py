"""Continuous convolution."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal, cast

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from itnet_core import (
    ComponentConfig,
    Field,
    Kernel,
    Problem,
    ScalarConfig,
    Support,
    differentiated,
    exact_dtype,
    precise,
)
from itnet_kernels.convolution.lattice import fit_lattice
from itnet_kernels.numerics.weights import apply_weights


class ContinuousConvolutionKernel(Kernel[Tensor, None]):
    """Continuous convolution: k_h(x, y) = φ_h(x − y), with a network φ.

    CKConv, Romero et al., arXiv 2102.02611. φ is an MLP, or a SIREN (Sitzmann et al., arXiv 2006.09661), which starts
    with finer detail. `integrate` is a convolution by FFT, O(N log N), of φ at all displacements between points. It
    applies where both sides are the same regular grid; a support then cuts φ.

    Example:
        >>> kernel = ContinuousConvolutionKernel(8, heads=2, position_dim=1)
        >>> IntegralOperator(8, kernel)(Field.on_grid(torch.randn(1, 1000, 8))).values.shape
        torch.Size([1, 1000, 8])

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.
    """

    transformable = True
    pointwise_terms = True

    class Config(ScalarConfig):
        """The network φ, and the support."""

        heads: PositiveInt = 4
        """Number of scalar kernels."""
        network: Literal["mlp", "siren"] = "siren"
        """`mlp`, with GELU, or `siren`, with sines."""
        hidden: PositiveInt = 32
        """Hidden units of each layer."""
        layers: int = ConfigField(default=2, ge=1, le=100)
        """Hidden layers."""
        omega: PositiveFloat = 10.0
        """Factor of the displacements in a SIREN's first layer, in radians per unit of length."""
        position_dim: PositiveInt = 4
        """Coordinates of a position, p; 4 in models."""
        support: Support = Support()
        """Pairs that the integral runs over."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.values, self.support = c.heads, c.values, c.support
        widths = [c.position_dim, *[c.hidden] * c.layers]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.last = nn.Linear(c.hidden, c.heads)
        if c.network == "siren":
            self._initialize_siren()

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return the positions of both, in float32 at least.

        Raises:
            ShapeError: the number of coordinates of the positions is not `position_dim`.
        """
        self.check_coordinates(key, self.config.position_dim)
        return precise(query.positions), precise(key.positions)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Compute k, shape (B, heads, n, m)."""
        if self.config.network == "siren":  # the rounding of a difference of far points is an error of the phase
            exact = exact_dtype(query_terms.device)
            query_terms, key_terms = query_terms.to(exact), key_terms.to(exact)
        k = self.profile(query_terms.unsqueeze(2) - key_terms.unsqueeze(1)).permute(0, 3, 1, 2)
        return k.to(self.last.weight.dtype)  # a subclass may multiply the profile by float64 displacements

    def profile(self, displacement: Tensor) -> Tensor:
        """Compute φ, (..., heads), of displacements x − y, (..., p), in the dtype of the weights.

        It is computed in float32 at least, under autocast too: sines of displacements in half precision would be noise.
        Phases of a SIREN's first layer are reduced to a turn in float64, so that far points do not give noise either.
        """
        dtype = self.last.weight.dtype
        wide = torch.promote_types(dtype, torch.float32)

        def apply(layer: nn.Module, hidden: Tensor) -> Tensor:
            linear = cast(nn.Linear, layer)
            return nn.functional.linear(hidden, linear.weight.to(hidden.dtype), linear.bias.to(hidden.dtype))

        with torch.autocast(displacement.device.type, enabled=False):
            hidden = displacement
            for number, layer in enumerate(self.hidden):
                if self.config.network == "mlp":
                    hidden = nn.functional.gelu(apply(layer, hidden.to(wide)))
                elif number == 0:
                    turns = self.config.omega / (2 * math.pi) * apply(layer, hidden.to(exact_dtype(hidden.device)))
                    hidden = torch.sin(2 * math.pi * (turns - turns.detach().round()).to(wide))
                else:
                    hidden = torch.sin(apply(layer, hidden))
            return apply(self.last, hidden).to(dtype)

    @property
    def pair_width(self) -> int:
        """The hidden units, before and after their activation."""
        return 2 * self.config.hidden

    def can_integrate(self, problem: Problem[Tensor]) -> bool:
        """Whether both sides are the same regular grid, and no derivative by its positions is taken."""
        if differentiated(problem.query.positions) or differentiated(problem.key.positions):
            return False
        grid = fit_lattice(problem.query)
        return grid is not None and grid.even and grid == fit_lattice(problem.key)

    def integrate(self, problem: Problem[Tensor]) -> Tensor:
        """Compute the convolution by FFT; a support depends on displacements alone, so it cuts φ."""
        grid = fit_lattice(problem.key)
        assert grid is not None
        displacements = _displacements(grid.sizes, problem.key.positions.new_tensor(grid.steps))
        dtype = torch.promote_types(problem.values.dtype, torch.float32)  # FFTs have no half precision
        profile = self.profile(displacements).to(dtype)
        if not self.support.everywhere:
            origin = displacements.new_zeros(1, 1, displacements.shape[-1])
            share = self.support.share(displacements.flatten(0, -2).unsqueeze(0), origin)
            profile = profile * share.view(*profile.shape[:-1], 1)
        values = apply_weights(problem.values, problem.key).permute(0, 2, 3, 1).to(dtype)
        values = values.reshape(*values.shape[:3], *grid.sizes)
        padded = [2 * size for size in grid.sizes]
        axes = list(range(-len(padded), 0))
        spectrum = torch.fft.rfftn(profile.movedim(-1, 0).unsqueeze(1), s=padded, dim=axes)
        out = torch.fft.irfftn(torch.fft.rfftn(values, s=padded, dim=axes) * spectrum, s=padded, dim=axes)
        for axis, size in zip(axes, grid.sizes, strict=True):  # displacement 0 lies at index 0
            out = out.narrow(axis, 0, size)
        return out.flatten(3).permute(0, 3, 1, 2).to(problem.values.dtype)

    @torch.no_grad()
    def _initialize_siren(self) -> None:
        """Draw weights as Sitzmann et al. do (§3.2), so that each layer's sines have inputs of unit variance."""
        for number, layer in enumerate(self.hidden):
            weight = cast(nn.Linear, layer).weight
            fan = weight.shape[1]
            bound = 1 / fan if number == 0 else (6 / fan) ** 0.5
            weight.uniform_(-bound, bound)
        bound = (6 / self.config.hidden) ** 0.5
        self.last.weight.uniform_(-bound, bound)


def _displacements(sizes: tuple[int, ...], steps: Tensor) -> Tensor:
    """Return x − y for index differences 0 … n−1, −n … −1 along each dimension, shape (*(2 n), p); −n is not used."""
    lines = [torch.cat([torch.arange(n), torch.arange(-n, 0)]).to(steps) for n in sizes]
    indices = torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1)
    with torch.autocast(steps.device.type, enabled=False):
        return indices @ steps
