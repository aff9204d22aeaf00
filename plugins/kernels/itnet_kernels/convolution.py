"""Convolution."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import AXES, ComponentConfig, ConfigError, Field, Kernel, Measure, ShapeError, Support
from itnet_kernels.lattice import Lattice, lattice
from itnet_kernels.weighting import weighted

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


HALF = 0.5 + 2.0**-10
"""A cell reaches from half a spacing before its middle to half a spacing behind it, the lower end included. Points on
the border, as pooled landmarks are, lie in one cell, whatever the rounding of their positions."""


class ConvolutionKernel(Kernel):
    """k_δ(x, y) = 1 where y lies in the cell around x + (δ − centre)·dilation·spacing, else 0 (OPERATOR §4).

    One head a tap δ, with V_δ = W[:, :, δ] and the counting measure: on a grid that is `torch.nn.Conv1d/2d/3d`, whose
    stride and padding say no more than where the points x are. On scattered points it is a kernel that is constant in
    cells of one spacing. The shortcut is PyTorch's convolution.
    """

    measure: Measure = "counting"
    whole = True
    streaming = True
    transformable = True
    example_options: ClassVar[Mapping[str, Any]] = {"spacing": 0.5}

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            kernel_size: taps along each axis.
            dilation: spacings between neighbouring taps along each axis; 1 by default.
            axes: the coordinate that each dimension runs along, letters of t, x, y, z where positions lie in R^4; those
                of positions with one coordinate a dimension are taken in their order. In the other coordinates points
                must agree to half a spacing.
            spacing: the length between taps that are 1 apart; by default between the key grid's neighbours, before a
                sampler makes it coarser.
            groups: parts of the channels that do not mix; as many as channels for a depthwise convolution.
            bias: whether there is one.
            causal: whether the last tap lies at x, not the middle one; for one axis.
        """

        kernel_size: tuple[PositiveInt, ...] = ConfigField(default=(3, 3), min_length=1, max_length=3)
        dilation: tuple[PositiveInt, ...] | None = None
        axes: str = "yx"
        spacing: PositiveFloat | None = None
        groups: PositiveInt = 1
        bias: bool = True
        causal: bool = False

        @model_validator(mode="after")
        def _dimensions_fit(self) -> ConvolutionKernel.Config:
            dimensions = len(self.kernel_size)
            if not len(self.axes) == len(set(self.axes)) == dimensions or not set(self.axes) <= set(AXES):
                raise ValueError(f"axes = {self.axes!r} are not {dimensions} different letters of {AXES}")
            if self.dilation is not None and len(self.dilation) != dimensions:
                raise ValueError(f"dilation has {len(self.dilation)} numbers for {dimensions} axes")
            if self.causal and dimensions > 1:
                raise ValueError(f"causal along {dimensions} axes: only one axis has an order")
            return self

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Return `True`.

        Raises:
            ConfigError: points differ on none of the kernel's axes, so that no two of them are neighbours.
        """
        if set(axes).isdisjoint(config.axes):
            raise ConfigError(
                "ConvolutionKernel.axes",
                found=f"{config.axes!r}, for points that differ on {axes!r} alone",
                expected="an axis on which they differ",
                hint=f"Give axes={axes!r} and a spacing, with one number of kernel_size for each axis.",
            )
        return True

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads = prod(c.kernel_size)
        self.dilation = c.dilation or (1,) * len(c.kernel_size)
        self.centre = tuple(size - 1 if c.causal else (size - 1) // 2 for size in c.kernel_size)
        if c.causal:
            self.support = Support(causal=c.axes)
        if dim % c.groups:
            raise ConfigError("ConvolutionKernel.groups", found=f"{c.groups}", expected=f"a divisor of dim = {dim}")

    def value_dim(self, dim: int) -> int:
        """Return `dim`: each tap has a matrix of its own between all channels."""
        return dim

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return V, all taps' matrices, whose weight has the shape of `nn.Conv2d`'s."""
        return TapMaps(dim, head_dim, self.config.kernel_size, self.config.groups)

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        """Return the sum over taps, and the bias."""
        if head_dim != dim:
            raise ShapeError(
                "ConvolutionKernel", found=f"head_dim {head_dim}", expected=f"the result's channels, {dim}"
            )
        return SumOfHeads(dim, bias=self.config.bias)

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return the positions in spacings, (B, N, p) and (B, M, p).

        Raises:
            ConfigError: no spacing is given and the key field is no grid that has one.
        """
        spacing = key.positions.new_tensor(self._spacing(query, key))
        origin = key.positions[:, :1].detach()
        query_terms, key_terms = ((field.positions - origin) / spacing for field in (query, key))
        return query_terms, key_terms

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Return k of shape (B, taps, n, m)."""
        cells = (key_terms.unsqueeze(1) - query_terms.unsqueeze(2) + HALF).floor()
        tap, inside = torch.zeros_like(cells[..., 0]), torch.ones_like(cells[..., 0], dtype=torch.bool)
        along = self._coordinates(cells.shape[-1])
        for a, size, dilation, centre in zip(along, self.config.kernel_size, self.dilation, self.centre, strict=True):
            index = cells[..., a] / dilation + centre
            inside &= (index >= 0) & (index < size) & (index == index.round())
            tap = tap * size + index
        for a in {*range(cells.shape[-1])} - {*along}:
            inside &= cells[..., a] == 0
        taps = torch.arange(self.heads, device=tap.device).view(-1, 1, 1)
        return ((tap.unsqueeze(1) == taps) & inside.unsqueeze(1)).to(query_terms.dtype)

    @property
    def pair_width(self) -> int:
        """A tile holds the displacements of up to four coordinates beside the taps."""
        return self.heads + 4

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> Tensor | None:
        """Return PyTorch's convolution, or `None` where it is not that.

        Both have to be grids, the query's points among those that the key's grid would have if it went on.
        """
        geometry = self._geometry(query, key)
        if geometry is None or key.grid is None:
            return None
        first, strides, sizes = geometry
        values = weighted(key.values, key.weights)
        values = values.transpose(1, 2).reshape(*values.shape[::2], *key.grid)
        before, after = [], []
        for axis, length in enumerate(key.grid):
            span = (self.config.kernel_size[axis] - 1) * self.dilation[axis]
            before.append(self.centre[axis] * self.dilation[axis] - first[axis])
            after.append((sizes[axis] - 1) * strides[axis] + span + 1 - length - before[axis])
        padding = before
        if before != after or min(before) < 0:
            values = F.pad(values, [n for pair in zip(before[::-1], after[::-1], strict=True) for n in pair])
            padding = [0] * len(before)
        weight, bias = value_map.weight, output_map.bias
        convolution: Any = CONVOLUTIONS[len(key.grid)]
        out = convolution(values, weight, bias, strides, padding, self.dilation, self.config.groups)
        return out.flatten(2).transpose(1, 2)

    def step(self, state: tuple[Tensor, ...] | None, query: Field, values: Tensor) -> tuple[Any, Tensor]:
        """Return the sum over the last points; each point of a stream is one spacing after the one before it."""
        past = (state or ()) + (weighted(values, query.weights),)
        size, dilation = self.config.kernel_size[0], self.dilation[0]
        past = past[-((size - 1) * dilation + 1) :]
        integral = torch.zeros_like(values)
        for tap in range(size):
            back = (size - 1 - tap) * dilation
            if back < len(past):
                integral[:, :, tap] = past[-1 - back][:, :, tap]
        return past, integral

    def _coordinates(self, count: int) -> list[int]:
        """Return the coordinates of positions that the axes are."""
        axes = self.config.axes
        if count == len(axes):
            return list(range(count))
        if count == len(AXES):
            return [AXES.index(letter) for letter in axes]
        raise ShapeError(
            "ConvolutionKernel",
            found=f"positions of {count} coordinates",
            expected=f"{len(axes)}, one for each of the axes {axes!r}, or {len(AXES)}",
        )

    def _spacing(self, query: Field, key: Field) -> list[float]:
        """Return the length that is 1 in each coordinate: of the key's own points, whichever of them are sampled."""
        key = key.sampled_from or key
        count = key.positions.shape[-1]
        if self.config.spacing is not None:
            return [self.config.spacing] * count
        along = self._coordinates(count)
        found, of_query = _regular(key, len(along)), _regular(query, len(along))
        if found is None:
            points = lattice(key)
            beside = f", whose points lie up to {points.deviation:.3g} beside a regular one" if points else ""
            raise ConfigError(
                "ConvolutionKernel.spacing",
                found=f"none, and a key field on the grid {key.grid}{beside}",
                expected=f"a grid of {len(along)} dimensions, or a spacing",
                hint="Give the kernel a spacing, the length between two taps.",
            )
        of_query = of_query or found
        # Along a dimension of one point the query's grid says the step, or nothing does.
        steps = [found.steps[d][a] or of_query.steps[d][a] or 1.0 for d, a in enumerate(along)]
        spacing = [min(abs(step) for step in steps)] * count
        for a, step in zip(along, steps, strict=True):
            spacing[a] = step
        return spacing

    def _geometry(self, query: Field, key: Field) -> tuple[list[int], list[int], list[int]] | None:
        """Return, along each axis, the first query point's index in the key's grid, the stride and the query points."""
        along = self._coordinates(key.positions.shape[-1])
        ours, theirs = _regular(query, len(along)), _regular(key, len(along))
        if ours is None or theirs is None:
            return None
        spacing = self._spacing(query, key)
        if _cells(theirs, spacing, along) != [(1 if size > 1 else 0) for size in theirs.sizes]:
            return None
        strides = _cells(ours, spacing, along)
        first = [(x - y) / length for x, y, length in zip(ours.origin, theirs.origin, spacing, strict=True)]
        if strides is None or min(strides) < 0 or any(abs(n - round(n)) > TOLERANCE for n in first):
            return None
        if any(round(n) for a, n in enumerate(first) if a not in along):
            return None
        return [round(first[a]) for a in along], [max(stride, 1) for stride in strides], list(ours.sizes)


TOLERANCE = 1e-2
"""How far, in spacings, points may lie beside a grid's: rounding of positions in float32."""


def _regular(points: Field, dimensions: int) -> Lattice | None:
    """Return where the points of a field lie, or `None` if they are no regular grid of so many dimensions."""
    found = lattice(points)
    if found is None or len(found.sizes) != dimensions:
        return None
    lengths = [max(map(abs, step)) for step, size in zip(found.steps, found.sizes, strict=True) if size > 1]
    return found if found.deviation <= TOLERANCE * min(lengths, default=0.0) else None


def _cells(points: Lattice, spacing: list[float], along: list[int]) -> list[int] | None:
    """Return the steps of a grid along its axes in whole spacings, or `None` if they are not."""
    steps = [[x / length for x, length in zip(step, spacing, strict=True)] for step in points.steps]
    found = [round(step[a]) for step, a in zip(steps, along, strict=True)]
    for step, a, n in zip(steps, along, found, strict=True):
        last = max(points.sizes)  # the error grows along the grid
        if any(abs(x - (n if b == a else 0)) * last > TOLERANCE * 10 for b, x in enumerate(step)):
            return None
    return found


class TapMaps(nn.Module):
    """V: for each tap a matrix between channels, (B, M, dim) → (B, M, taps, head_dim).

    Attributes:
        weight: shape (head_dim, dim / groups, *kernel_size), as of `torch.nn.Conv2d`.
    """

    def __init__(self, dim: int, head_dim: int, kernel_size: tuple[int, ...], groups: int) -> None:
        super().__init__()
        if head_dim % groups:
            raise ShapeError(
                "ConvolutionKernel", found=f"head_dim {head_dim}", expected=f"a multiple of {groups}, groups"
            )
        self.groups = groups
        self.weight = nn.Parameter(torch.empty(head_dim, dim // groups, *kernel_size))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)  # as PyTorch's convolutions start

    def forward(self, values: Tensor) -> Tensor:
        """Apply each tap's matrix."""
        return each_tap(values, self.weight, self.groups)


def each_tap(values: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Return values (B, M, dim) by each tap's matrix, (B, M, taps, head_dim), for the weight of a convolution."""
    weight = weight.reshape(groups, -1, *weight.flatten(2).shape[1:])
    grouped = values.reshape(*values.shape[:2], groups, -1)
    return torch.einsum("bmgi,goit->bmtgo", grouped, weight).flatten(-2)


class SumOfHeads(nn.Module):
    """Σ_h, with a bias: (B, N, heads, dim) → (B, N, dim)."""

    def __init__(self, dim: int, *, bias: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(dim)) if bias else None

    def forward(self, integral: Tensor) -> Tensor:
        """Add up."""
        out = integral.sum(2)
        return out if self.bias is None else out + self.bias
