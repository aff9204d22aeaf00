"""Convolution along one, two or three axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import AXES, ComponentConfig, ConfigError, Field, Kernel, Lattice, Measure, Points, ShapeError, Support
from itnet_kernels.convolution.lattice import fit_lattice
from itnet_kernels.convolution.taps import SumOfHeads, TapMaps
from itnet_kernels.numerics.weights import apply_weights

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}

HALF = 0.5 + 2.0**-10
"""A cell extends half a spacing to each side of its centre, and includes its lower end. Points on a border, such as
pooled landmarks, lie in one cell, however their positions are rounded."""

TOLERANCE = 1e-2
"""Largest distance, in spacings, of a point from its grid: the rounding of positions in float32."""


class ConvolutionKernel(Kernel[Tensor, tuple[Tensor, ...]]):
    """Convolution: k_δ(x, y) = 1 where y lies in the cell around x + (δ − centre)·dilation·spacing, else 0.

    Every tap δ is a head, with V_δ = W[:, :, δ] and the counting measure (docs/operator.md, §4). On a grid that is
    `torch.nn.Conv1d/2d/3d`, whose stride and padding determine the query points. On scattered points k is constant in
    cells of one spacing.

    `transform` is PyTorch's convolution. It applies where both fields are grids and the query points lie on the key's
    grid, continued beyond its boundary. A stream keeps the last points, one spacing apart.

    Example:
        >>> operator = IntegralOperator(3, ConvolutionKernel(3, kernel_size=[3, 3]), out_dim=8, head_dim=8)
        >>> operator(Field.on_grid(torch.randn(1, 6, 6, 3), axes="yx")).values.shape
        torch.Size([1, 36, 8])

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.

    Raises:
        ConfigError: `groups` does not divide `dim`.
    """

    measure: Measure = "counting"
    transformable = True
    example_options: ClassVar[Mapping[str, Any]] = {"spacing": 0.5}

    class Config(ComponentConfig):
        """Taps and axes."""

        kernel_size: tuple[PositiveInt, ...] = ConfigField(default=(3, 3), min_length=1, max_length=3)
        """Taps along each axis."""
        dilation: tuple[PositiveInt, ...] | None = None
        """Spacings between neighbouring taps along each axis; 1 by default."""
        axes: str = "yx"
        """The axis of each dimension: letters of t, x, y, z where positions lie in R^4. Positions with one coordinate
        per dimension are taken in their order. In the other coordinates points must agree to half a spacing."""
        spacing: PositiveFloat | None = None
        """Distance between neighbouring taps of dilation 1; by default the spacing of the key's grid, before a sampler
        makes it coarser."""
        groups: PositiveInt = 1
        """Parts of the channels that do not mix; as many as channels for a depthwise convolution."""
        bias: bool = True
        """Whether to add a bias."""
        causal: bool = False
        """Whether the last tap lies at x, instead of the middle one; for a single axis."""

        @model_validator(mode="after")
        def _dimensions_fit(self) -> ConvolutionKernel.Config:
            dimensions = len(self.kernel_size)
            if not len(self.axes) == len(set(self.axes)) == dimensions or not set(self.axes) <= set(AXES):
                raise ValueError(f"axes = {self.axes!r} to be {dimensions} different letters of {AXES}")
            if self.dilation is not None and len(self.dilation) != dimensions:
                raise ValueError(f"{dimensions} numbers in dilation, one for each axis")
            if self.causal and dimensions > 1:
                raise ValueError(f"one axis with causal, not {dimensions}")
            return self

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Return `True`.

        Raises:
            ConfigError: the points differ on none of the kernel's axes, so that no two of them are neighbours.
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
        """Return `dim`: each tap has its own matrix between all channels."""
        return dim

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return V, all taps' matrices, whose weight has the shape of `nn.Conv2d`'s."""
        return TapMaps(dim, head_dim, self.config.kernel_size, self.config.groups)

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        """Return the sum over taps, with the bias.

        Raises:
            ShapeError: `head_dim` is not `dim`.
        """
        if head_dim != dim:
            raise ShapeError(
                "ConvolutionKernel", found=f"head_dim {head_dim}", expected=f"the result's channels, {dim}"
            )
        return SumOfHeads(dim, bias=self.config.bias)

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Compute the positions in spacings, (B, N, p) and (B, M, p).

        Raises:
            ConfigError: no spacing is configured, and the key field is not a regular grid, which has one.
        """
        spacing = key.positions.new_tensor(self._spacing(query, key))
        origin = key.positions[:, :1].detach()
        query_terms, key_terms = ((field.positions - origin) / spacing for field in (query, key))
        return query_terms, key_terms

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Compute k, shape (B, taps, n, m)."""
        cells = (key_terms.unsqueeze(1) - query_terms.unsqueeze(2) + HALF).floor()
        tap, inside = torch.zeros_like(cells[..., 0]), torch.ones_like(cells[..., 0], dtype=torch.bool)
        coordinates = self._coordinates(cells.shape[-1])
        for a, size, dilation, centre in zip(
            coordinates, self.config.kernel_size, self.dilation, self.centre, strict=True
        ):
            index = cells[..., a] / dilation + centre
            inside &= (index >= 0) & (index < size) & (index == index.round())
            tap = tap * size + index
        for a in {*range(cells.shape[-1])} - {*coordinates}:
            inside &= cells[..., a] == 0
        taps = torch.arange(self.heads, device=tap.device).view(-1, 1, 1)
        return ((tap.unsqueeze(1) == taps) & inside.unsqueeze(1)).to(query_terms.dtype)

    @property
    def pair_width(self) -> int:
        """The taps, and the displacements of up to four coordinates."""
        return self.heads + 4

    def can_transform(self, query: Field, key: Field) -> bool:
        """Whether both are grids, and the query points lie on the key's grid, continued beyond its boundary."""
        return key.grid is not None and self._geometry(query, key) is not None

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> Tensor:
        """Compute the integral and the maps by PyTorch's convolution."""
        geometry = self._geometry(query, key)
        assert geometry is not None
        assert key.grid is not None
        first, strides, sizes = geometry
        values = apply_weights(key.values, key.points)
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

    def step(self, state: tuple[Tensor, ...] | None, query: Field, values: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Advance a stream of points one spacing apart; the state is the last points' values."""
        past = (state or ()) + (apply_weights(values, query.points),)
        size, dilation = self.config.kernel_size[0], self.dilation[0]
        past = past[-((size - 1) * dilation + 1) :]
        integral = torch.zeros_like(values)
        for tap in range(size):
            back = (size - 1 - tap) * dilation
            if back < len(past):
                integral[:, :, tap] = past[-1 - back][:, :, tap]
        return past, integral

    def _coordinates(self, count: int) -> list[int]:
        """Return the coordinates of the axes, for positions of `count` coordinates."""
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
        """Return the spacing in each coordinate, of the key's own points where a sampler chose some of them."""
        key = key.sampled_from or key
        count = key.positions.shape[-1]
        if self.config.spacing is not None:
            return [self.config.spacing] * count
        coordinates = self._coordinates(count)
        key_grid, query_grid = _fit_regular(key, len(coordinates)), _fit_regular(query, len(coordinates))
        if key_grid is None:
            points = fit_lattice(key.points)
            irregular = f", whose points lie up to {points.deviation:.3g} off a regular one" if points else ""
            raise ConfigError(
                "ConvolutionKernel.spacing",
                found=f"none, and a key field on the grid {key.grid}{irregular}",
                expected=f"a grid of {len(coordinates)} dimensions, or a spacing",
                hint="Set the kernel's option spacing, the distance between two taps.",
            )
        query_grid = query_grid or key_grid
        # Along a dimension of one point the query's grid gives the step, if any.
        steps = [key_grid.steps[d][a] or query_grid.steps[d][a] or 1.0 for d, a in enumerate(coordinates)]
        spacing = [min(abs(step) for step in steps)] * count
        for a, step in zip(coordinates, steps, strict=True):
            spacing[a] = step
        return spacing

    def _geometry(self, query: Field, key: Field) -> tuple[list[int], list[int], list[int]] | None:
        """Return, along each axis, the first query point's index in the key's grid, the stride and the query points."""
        coordinates = self._coordinates(key.positions.shape[-1])
        if torch.compiler.is_compiling() and query.points is key.points and self.config.spacing is None:
            sizes = _aligned(query.points.lattice, coordinates)  # without numbers: those of exported graphs are unknown
            if sizes is not None:
                return [0] * len(sizes), [1] * len(sizes), sizes
        query_grid, key_grid = _fit_regular(query, len(coordinates)), _fit_regular(key, len(coordinates))
        if query_grid is None or key_grid is None:
            return None
        spacing = tuple(self._spacing(query, key))
        return key.points.cached(_offsets_and_strides, query_grid, key_grid, spacing, tuple(coordinates))


def _offsets_and_strides(
    key: Points, query_grid: Lattice, key_grid: Lattice, spacing: tuple[float, ...], coordinates: tuple[int, ...]
) -> tuple[list[int], list[int], list[int]] | None:
    """Compute the result of `ConvolutionKernel._geometry` from the lattices of both sides."""
    if _whole_steps(key_grid, spacing, coordinates) != [(1 if size > 1 else 0) for size in key_grid.sizes]:
        return None
    strides = _whole_steps(query_grid, spacing, coordinates)
    first = [(x - y) / length for x, y, length in zip(query_grid.origin, key_grid.origin, spacing, strict=True)]
    if strides is None or min(strides) < 0 or any(abs(n - round(n)) > TOLERANCE for n in first):
        return None
    if any(round(n) for a, n in enumerate(first) if a not in coordinates):
        return None
    return [round(first[a]) for a in coordinates], [max(stride, 1) for stride in strides], list(query_grid.sizes)


def _aligned(lattice: Lattice | None, coordinates: Sequence[int]) -> list[int] | None:
    """Return the sizes of a lattice whose dimensions run along these coordinates, or `None`."""
    if lattice is None or len(lattice.sizes) != len(coordinates):
        return None
    for step, coordinate in zip(lattice.steps, coordinates, strict=True):
        if any(x != 0 for axis, x in enumerate(step) if axis != coordinate):
            return None
    return list(lattice.sizes)


def _fit_regular(field: Field, dimensions: int) -> Lattice | None:
    """Fit a lattice to a field's points; `None` if they are not a regular grid of `dimensions` dimensions."""
    grid = fit_lattice(field.points)
    if grid is None or len(grid.sizes) != dimensions:
        return None
    lengths = [max(map(abs, step)) for step, size in zip(grid.steps, grid.sizes, strict=True) if size > 1]
    return grid if grid.deviation <= TOLERANCE * min(lengths, default=0.0) else None


def _whole_steps(grid: Lattice, spacing: Sequence[float], coordinates: Sequence[int]) -> list[int] | None:
    """Return the steps of a grid along its axes in whole spacings, or `None` if they are not whole."""
    steps = [[x / length for x, length in zip(step, spacing, strict=True)] for step in grid.steps]
    counts = [round(step[a]) for step, a in zip(steps, coordinates, strict=True)]
    largest = max(grid.sizes)  # the error grows along the grid
    for step, a, n in zip(steps, coordinates, counts, strict=True):
        if any(abs(x - (n if b == a else 0)) * largest > TOLERANCE * 10 for b, x in enumerate(step)):
            return None
    return counts
