"""Conversion of PyTorch's layers on grids: convolutions, average pooling, interpolation and Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import _LPPoolNd
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from itnet_core import Field, IntegralOperator, Kernel
from itnet_kernels.conversion.converted import (
    ConvertedLayer,
    remove_parameters,
    takes_fast_path,
    with_contiguous_gradient,
)
from itnet_kernels.conversion.grid_kernels import FourierKernel, InterpolationKernel, TapKernel, WindowKernel
from itnet_kernels.convolution.taps import apply_taps
from itnet_kernels.errors import ConversionError


class OperatorForm(NamedTuple):
    """What an operator of a layer that calls functions depends on.

    Attributes:
        kernel: makes the kernel.
        dim: channels of the field.
        channels: of the result.
        head_dim: channels of a head.
        options: of the kernel.
    """

    kernel: Callable[..., Kernel]
    dim: int
    channels: int
    head_dim: int
    options: dict[str, Any]

    def build(self, *parts: Any) -> IntegralOperator:
        """Return an operator of this form without parameters, with a sampler and an evaluator if they are given."""
        operator: Any = IntegralOperator(
            self.dim,
            self.kernel(**self.options),
            *parts,
            out_dim=self.channels,
            head_dim=self.head_dim,
            pointwise=False,
        )
        remove_parameters(operator)
        operator.form = self
        made: IntegralOperator = operator
        return made

    def fit(self, present: IntegralOperator) -> IntegralOperator:
        """Return an operator if it has this form; a new one in its place otherwise."""
        if vars(present).get("form") == self:
            return present
        return self.build(present.sampler, present.evaluator).train(present.training)


class GridLayer(ConvertedLayer):
    """A layer whose `forward` calls PyTorch's convolutions, average pools, `interpolate` or `fftn`, by an operator.

    The input is a field at the points 0, 1, 2, … of a grid. The kernel's fast path is the original's `forward`.
    Otherwise the operator computes the calls of `FUNCTIONS` in that `forward`, with the weights that they get: a layer
    may pad its input, or compute its weight.

    Example:
        >>> layer, image = nn.ConvTranspose2d(3, 4, 3, stride=2), torch.randn(1, 3, 5, 5)
        >>> ours = GridLayer(layer)
        >>> ours.operator.evaluator = DenseEvaluator()
        >>> torch.allclose(ours(image), layer(image), atol=1e-5)
        True

    Args:
        module: the layer; its parameters are shared.

    Attributes:
        operator: with the kernel and the channels of the last call.

    Raises:
        ConversionError: the layer computes a maximum, or a Fourier transform by another function.
    """

    operator: IntegralOperator
    functions: Collection[str]
    """Names of the functions that the operator computes."""

    def __init__(self, module: Any) -> None:
        name = type(module).__name__
        if isinstance(module, _LPPoolNd) and not isfinite(module.norm_type):
            raise ConversionError(f"{name}.norm_type", found=f"{module.norm_type}, a maximum", expected="a finite one")
        transform = vars(module).get("fourier_transform")
        if transform is not None and getattr(transform, "keywords", None) != {"dim": (1, 2)}:
            raise ConversionError(f"{name}.fourier_transform", found=repr(transform), expected="fftn over dim (1, 2)")
        super().__init__(module)
        self.functions = FUNCTIONS
        if isinstance(module, _ConvNd):
            taps, channels = module.kernel_size, module.out_channels
            options = {"kernel_size": taps, "dilation": module.dilation}
            self.operator = OperatorForm(TapKernel, prod(taps) * channels, channels, channels, options).build()
        else:
            self.operator = OperatorForm(WindowKernel, 1, 1, 1, {}).build()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the original's `forward`.

        Raises:
            ConversionError: it calls none of `FUNCTIONS`.
        """
        if takes_fast_path(self.operator):
            return super().forward(*args, **kwargs)
        calls: list[str] = []
        with _ByOperator(self, calls):
            out = super().forward(*args, **kwargs)
        if not calls:
            raise ConversionError(
                f"{type(self).__name__}.forward",
                found="no convolution, average pool, interpolation or fftn",
                expected="a function that an integral operator computes",
            )
        return out

    def fit(self, kernel: Callable[..., Kernel], dim: int, channels: int, **options: Any) -> IntegralOperator:
        """Return the operator for a kernel and channels; a new one if the last call had others."""
        self.operator = operator = OperatorForm(kernel, dim, channels, channels, options).fit(self.operator)
        return operator


class CallingLayer(GridLayer):
    """A layer of any class whose `forward` calls functions of `FUNCTIONS`, which an integral operator computes.

    Example:
        >>> from itnet_kernels import convert_model
        >>> class Half(nn.Module):
        ...     def forward(self, x):
        ...         return nn.functional.avg_pool2d(x, 2)
        >>> print(convert_model(nn.Sequential(Half()), example=torch.randn(1, 3, 8, 8)))
        1 converted, 0 left
          0: Half

    Args:
        module: the layer; its parameters are shared.
        functions: names of the functions that it called in a run.
    """

    def __init__(self, module: nn.Module, functions: Collection[str]) -> None:
        super().__init__(module)
        self.functions = functions

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the original's `forward`, which may call none of the functions for other inputs."""
        return self.compute(super(GridLayer, self).forward, *args, **kwargs)

    def compute(self, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a `forward` whose calls of the functions the operator computes."""
        if takes_fast_path(self.operator):
            return forward(*args, **kwargs)
        with _ByOperator(self, []):
            return forward(*args, **kwargs)


class _ByOperator(TorchFunctionMode):
    """Compute calls of `FUNCTIONS` by a layer's operator, and list them."""

    def __init__(self, layer: GridLayer, calls: list[str]) -> None:
        super().__init__()
        self.layer, self.calls = layer, calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, options = getattr(func, "__name__", ""), dict(kwargs or {})
        if name not in self.layer.functions:
            return func(*args, **options)
        image, *args = args or (options.pop("input"),)
        if image.is_meta:  # a layer inside of this one determines a shape
            return func(image, *args, **options)
        self.calls.append(name)
        # The function itself checks the shapes, and determines the number of query points.
        (other, *others), other_options = tree_map_only(Tensor, _on_meta, ([image, *args], options))
        shape = func(other, *others, **other_options).shape
        if any(0 in leaf.shape for leaf in tree_leaves((image, args, options)) if isinstance(leaf, Tensor)):
            return func(image, *args, **options)
        function, dimensions = FUNCTIONS[name]
        dimensions = dimensions or image.ndim - 2
        return function(_Call(self.layer, image, tuple(shape[-dimensions:])), *args, **options)


def _on_meta(tensor: Tensor) -> Tensor:
    if tensor.ndim == 0:  # a size of `interpolate`
        return tensor
    return torch.empty(tensor.shape, device="meta")  # of one dtype, which autocast would cast to


@dataclass(frozen=True)
class _Call:
    """Call of a function, with the layer whose operator computes it.

    Attributes:
        layer: the layer.
        image: the first argument, (B, C, *sizes) or (C, *sizes).
        sizes: of the result.
    """

    layer: GridLayer
    image: Tensor
    sizes: tuple[int, ...]

    def convolve(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        *,
        transposed: bool = False,
    ) -> Tensor:
        stride, dilation, ones = self._each(stride), self._each(dilation), self._each(1)
        spans = [(size - 1) * step for size, step in zip(weight.shape[2:], dilation, strict=True)]
        if isinstance(padding, str):
            padding = [span // 2 if padding == "same" else 0 for span in spans]
        first = [-before for before in self._each(padding)]
        if transposed:  # the taps of a point lie before it, and the image is on a coarser grid
            first = [before - span for before, span in zip(self._each(padding), spans, strict=True)]
            weight = torch.unflatten(weight, 0, (groups, -1)).transpose(1, 2).flatten(0, 1).flip(*range(2, weight.ndim))
        query = self._grid(self.sizes, ones if transposed else stride, first)
        key = self._grid(self._image_sizes, stride if transposed else ones)
        values, taps = apply_taps(self._values, weight, groups).flatten(2), tuple(weight.shape[2:])
        out = self._integrate(values, key, query, TapKernel, len(weight), kernel_size=taps, dilation=dilation)
        return self._result(out if bias is None else out + bias)

    def convolve_transposed(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Tensor:
        return self.convolve(weight, bias, stride, padding, dilation, groups, transposed=True)

    def average(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        padding = self._each(padding)
        first = self._grid(self.sizes, self._each(stride or kernel_size), [-before for before in padding])
        extent = first.new_tensor(self._image_sizes)
        end = torch.minimum(first + first.new_tensor(self._each(kernel_size)), extent + first.new_tensor(padding))
        if not count_include_pad:
            first, end = first.clamp(min=0), torch.minimum(end, extent)
        return self._mean(first, end, divisor_override)

    def average_adaptively(self, output_size: Any) -> Tensor:
        index = self._grid(self.sizes)
        extent, count = index.new_tensor(self._image_sizes), index.new_tensor(self.sizes)
        return self._mean(index * extent // count, -(-(index + 1) * extent // count))

    def average_powers(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
        mean = _Call(self.layer, self.image.pow(norm_type), self.sizes).average(kernel_size, stride)
        return (mean.sign() * mean.abs().relu() * prod(self._each(kernel_size))).pow(1 / norm_type)

    def interpolate(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
        antialias: bool = False,
    ) -> Tensor:
        scales: tuple[int | float, ...] = self.sizes
        if scale_factor is not None and not recompute_scale_factor:
            factors = scale_factor if isinstance(scale_factor, list | tuple) else [scale_factor] * len(self.sizes)
            scales = tuple(float(factor) for factor in factors)
        options: dict[str, Any] = {"mode": mode, "align_corners": align_corners, "antialias": antialias}
        options = {"sizes": self._image_sizes, "scales": scales, "options": options}
        query, key, channels = self._grid(self.sizes), self._grid(self._image_sizes), self._values.shape[-1]
        return self._result(self._integrate(self._values, key, query, InterpolationKernel, channels, **options))

    def transform(self, dim: tuple[int, int]) -> Tensor:
        spectrum, points = torch.fft.fft(self.image), self._grid(self.image.shape[1:2])
        parts = torch.cat([spectrum.real, spectrum.imag], dim=-1)
        return torch.complex(*self._integrate(parts, points, points, FourierKernel, parts.shape[-1]).chunk(2, dim=-1))

    def _mean(self, first: Tensor, end: Tensor, divisor: int | None = None) -> Tensor:
        """Compute the sums over the points from `first` to before `end`, divided by their number or another divisor."""
        key, query = self._grid(self._image_sizes), torch.cat([first, end - 1], dim=-1)
        sums = self._integrate(self._values, torch.cat([key, key], -1), query, WindowKernel, self._values.shape[-1])
        return self._result(sums) / (divisor or (end - first).prod(-1))

    def _integrate(
        self, values: Tensor, key: Tensor, query: Tensor, kernel: Callable[..., Kernel], channels: int, **options: Any
    ) -> Tensor:
        """Integrate values, (B, M, dim), on grids of points, (*sizes, p): (B, N, channels)."""
        operator = self.layer.fit(kernel, values.shape[-1], channels, **options)
        zeros = values.new_zeros(1, 1, 1).expand(len(values), prod(query.shape[:-1]), values.shape[-1])
        return operator(_field(zeros, query), _field(values, key)).values

    @property
    def _image_sizes(self) -> tuple[int, ...]:
        return tuple(self.image.shape[-len(self.sizes) :])

    @property
    def _values(self) -> Tensor:
        """The image as values, (B, N, C)."""
        channels, points = self.image.shape[-len(self.sizes) - 1], prod(self._image_sizes)
        return with_contiguous_gradient(self.image.reshape(-1, channels, points)).transpose(1, 2)

    def _result(self, values: Tensor) -> Tensor:
        """Return values, (B, N, C), as an image."""
        batch = self.image.shape[: -len(self.sizes) - 1]
        return values.transpose(1, 2).reshape(*batch, values.shape[-1], *self.sizes).contiguous()

    def _each(self, option: Any) -> tuple[int, ...]:
        """Return an option of each dimension."""
        option = (option,) if isinstance(option, int) else tuple(option)
        return option * (len(self.sizes) // len(option))

    def _grid(self, sizes: Iterable[int], steps: Iterable[int] = (), first: Iterable[int] = ()) -> Tensor:
        """Return the points first, first + step, … of a grid, (*sizes, dimensions); 0, 1, … by default."""
        steps, first = steps or self._each(1), first or self._each(0)
        lines = [
            start + step * torch.arange(size, device=self.image.device)
            for size, step, start in zip(sizes, steps, first, strict=True)
        ]
        return torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1)


FUNCTIONS: Mapping[str, tuple[Callable[..., Tensor], int]] = {
    "fft_fftn": (_Call.transform, 1),
    "interpolate": (_Call.interpolate, 0),
    **{
        f"{name}{dimensions}d": (function, dimensions)
        for name, function in (
            ("conv", _Call.convolve),
            ("conv_transpose", _Call.convolve_transposed),
            ("avg_pool", _Call.average),
            ("adaptive_avg_pool", _Call.average_adaptively),
            ("lp_pool", _Call.average_powers),
        )
        for dimensions in (1, 2, 3)
    },
}
"""Functions of PyTorch that an operator computes, by name, with the dimensions of the grid; 0 if the input has them."""


def _field(values: Tensor, points: Tensor) -> Field:
    """Return a field of values, (B, N, d), at a grid of points, (*sizes, p), with the counting measure."""
    positions = points.flatten(0, -2).to(torch.float32).expand(len(values), -1, -1)
    weights = positions.new_ones(1, 1).expand(values.shape[:2])
    return Field(values, positions, weights, grid=tuple(points.shape[:-1]))
