"""Continuous convolution."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal, cast

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from itnet_core import ComponentConfig, Field, Kernel, Points, Support
from itnet_core.operator.precision import exact_dtype, precise
from itnet_core.operator.transforms import differentiated
from itnet_kernels.lattice import lattice
from itnet_kernels.weighting import weighted


class ContinuousConvolutionKernel(Kernel):
    """k_h(x, y) = φ_h(x − y), with a network φ: CKConv (Romero et al., arXiv 2102.02611).

    φ is an MLP, or a SIREN (Sitzmann et al., arXiv 2006.09661), which begins with finer detail. On a grid the shortcut
    is a convolution by FFT, O(N log N), of φ at all displacements between points.
    """

    shortcut = True
    transformable = True

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            heads: scalar kernels.
            network: `mlp` with GELU, or `siren` with sines.
            hidden: hidden units of each layer.
            layers: hidden layers.
            omega: what a SIREN's first layer multiplies displacements by, in radians for each unit of length.
            position_dim: coordinates of a position, p; 4 in models.
            support: the pairs that the integral runs over.
        """

        heads: PositiveInt = 4
        network: Literal["mlp", "siren"] = "siren"
        hidden: PositiveInt = 32
        layers: int = ConfigField(default=2, ge=1, le=100)
        omega: PositiveFloat = 10.0
        position_dim: PositiveInt = 4
        support: Support = Support()

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.support = c.heads, c.support
        widths = [c.position_dim, *[c.hidden] * c.layers]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.last = nn.Linear(c.hidden, c.heads)
        if c.network == "siren":
            self._start_as_siren()

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return the positions of both.

        Raises:
            ShapeError: positions have other coordinates than `position_dim`.
        """
        self.check_coordinates(key, self.config.position_dim)
        return precise(query.positions), precise(key.positions)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Return k of shape (B, heads, n, m)."""
        if self.config.network == "siren":  # a phase is as far off as the difference of two far points is rounded
            exact = exact_dtype(query_terms.device)
            query_terms, key_terms = query_terms.to(exact), key_terms.to(exact)
        k = self.profile(query_terms.unsqueeze(2) - key_terms.unsqueeze(1)).permute(0, 3, 1, 2)
        return k.to(self.last.weight.dtype)  # a subclass may have multiplied the profile by what is float64 here

    def profile(self, displacement: Tensor) -> Tensor:
        """Return φ, (..., heads), of displacements x − y, (..., p), in the dtype of the weights.

        It is computed in float32 at least, under autocast too: sines of displacements in half precision would be noise.
        Phases of a SIREN's first layer are reduced to a turn in float64, so that those of far points are none either.
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
        """The hidden units before and after their activation."""
        return 2 * self.config.hidden

    def integrates(self, query: Points, key: Points) -> bool:
        """Whether both are the same regular grid, and no derivative is taken by its points."""
        if differentiated(query.positions) or differentiated(key.positions):
            return False
        ours = lattice(query)
        return ours is not None and ours.even and ours == lattice(key)

    def integrate(self, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return the convolution by FFT; supports look at displacements alone, so they cut φ."""
        grid = lattice(key)
        assert grid is not None
        displacements = _displacements(grid.sizes, key.positions.new_tensor(grid.steps))
        precise = torch.promote_types(values.dtype, torch.float32)  # FFTs have no half precision
        profile = self.profile(displacements).to(precise)
        if not self.support.everywhere:
            origin = displacements.new_zeros(1, 1, displacements.shape[-1])
            share = self.support.share(displacements.flatten(0, -2).unsqueeze(0), origin)
            profile = profile * share.view(*profile.shape[:-1], 1)
        along = weighted(values, key.weights).permute(0, 2, 3, 1).to(precise)
        fields = along.reshape(*along.shape[:3], *grid.sizes)
        padded = [2 * size for size in grid.sizes]
        axes = list(range(-len(padded), 0))
        spectrum = torch.fft.rfftn(profile.movedim(-1, 0).unsqueeze(1), s=padded, dim=axes)
        out = torch.fft.irfftn(torch.fft.rfftn(fields, s=padded, dim=axes) * spectrum, s=padded, dim=axes)
        for axis, size in zip(axes, grid.sizes, strict=True):  # displacement 0 is wrapped to index 0
            out = out.narrow(axis, 0, size)
        return out.flatten(3).permute(0, 3, 1, 2).to(values.dtype)

    @torch.no_grad()
    def _start_as_siren(self) -> None:
        """Draw weights as Sitzmann et al. do, so that each layer's sines have inputs of unit variance."""
        for number, layer in enumerate(self.hidden):
            weight = cast(nn.Linear, layer).weight
            fan = weight.shape[1]
            bound = 1 / fan if number == 0 else (6 / fan) ** 0.5
            weight.uniform_(-bound, bound)
        bound = (6 / self.config.hidden) ** 0.5
        self.last.weight.uniform_(-bound, bound)


def _displacements(sizes: tuple[int, ...], steps: Tensor) -> Tensor:
    """Return x − y for index differences 0 … n−1, −n … −1 along each dimension: shape (*(2 n), p); −n never counts."""
    lines = [torch.cat([torch.arange(n), torch.arange(-n, 0)]).to(steps) for n in sizes]
    indices = torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1)
    with torch.autocast(steps.device.type, enabled=False):
        return indices @ steps
