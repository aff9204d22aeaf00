"""The MLP kernel on a torus."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice, product
from typing import Any, Literal

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveInt, field_validator
from torch import Tensor

from itnet_core import AXES, ComponentConfig, FastPaths, MLPKernel, Support
from itnet_operators.axes import Periods

PeriodicInput = Literal["query", "key", "product", "fourier"]
INPUTS: tuple[PeriodicInput, ...] = ("query", "key", "product", "fourier")


class PeriodicMLPKernel(MLPKernel):
    """The kernel `mlp` on a periodic domain: a function of contents, and of the displacement on the circle.

    z = [ũ(x), ũ(y), ũ(x)⊙ũ(y), cos 2πB(x−y), sin 2πB(x−y)], where the rows of B are the lowest whole numbers of cycles
    per period: 1, 2, …, `frequencies` for one axis. So k is periodic in x and in y, shifting a field around the circle
    shifts the integral exactly, and x−y keeps its sign, unlike a distance. Coordinates along other axes are not read,
    so the periodic axes must stay straight: use the encoder `field`, or `periodic-field` without `periods`.

    Few frequencies and a smooth activation keep k band-limited, so that its sum over a coarse grid is close to the
    integral: with `frequencies` up to a quarter of the points along the period, models give nearly the same function on
    finer grids.

    Example:
        >>> kernel = PeriodicMLPKernel(8, periods={"x": 2.0}, frequencies=3)
        >>> kernel.frequency_matrix[:, 1]  # cycles per unit of x
        tensor([0.5000, 1.0000, 1.5000])
        >>> operator = IntegralOperator(8, kernel)
        >>> field = Field.on_grid(torch.randn(1, 16, 8), axes="x")
        >>> shifted = operator(field.map(lambda values: values.roll(1, 1)))
        >>> torch.allclose(shifted.values, operator(field).values.roll(1, 1), atol=1e-5)
        True
    """

    class Config(MLPKernel.Config):
        """Sizes and inputs of the MLP, and the periods. `frequency_scale` has no effect."""

        periods: Periods = ConfigField(default={"x": 2.0}, min_length=1)
        """Length of the period of each axis that the points lie along."""
        frequencies: PositiveInt = 4
        """Rows of B."""
        inputs: tuple[PeriodicInput, ...] = INPUTS
        """Inputs of the MLP; leave some out for an ablation."""
        activation: Literal["relu", "silu", "gelu", "tanh"] = "silu"
        """Activation of the hidden layer."""
        support: Support = Support()
        """Every pair: a radius or a window would not reach around the circle."""

        @field_validator("support")
        @classmethod
        def _everywhere(cls, support: Support) -> Support:
            if not support.everywhere:
                raise ValueError("every pair; for near pairs on a circle, the encoder periodic-field and a radius")
            return support

    transform, integrate = FastPaths.transform, FastPaths.integrate
    """None: those of `mlp` need a local support."""

    @classmethod
    def reads_positions(cls, config: Any, axes: str) -> bool:
        """Whether positions along one of the axes are among the inputs."""
        return "fourier" in config.inputs and not set(config.periods).isdisjoint(axes)

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.frequency_matrix.copy_(self._whole_cycles())

    def _whole_cycles(self) -> Tensor:
        """Return B, shape (frequencies, p)."""
        periods: dict[str, float] = self.config.periods
        cycles = torch.tensor(list(islice(whole_vectors(len(periods)), self.config.frequencies)))
        matrix = torch.zeros(len(cycles), self.config.position_dim)
        matrix[:, [AXES.index(axis) for axis in periods]] = cycles / torch.tensor(list(periods.values()))
        return matrix


def whole_vectors(dim: int) -> Iterator[tuple[int, ...]]:
    """Yield the vectors of whole numbers but 0, one of each pair v and −v, by their largest entry.

    Example:
        >>> list(islice(whole_vectors(1), 3)), list(islice(whole_vectors(2), 4))
        ([(1,), (2,), (3,)], [(0, 1), (1, 0), (1, -1), (1, 1)])
    """
    for largest in count(1):
        shell = [v for v in product(range(-largest, largest + 1), repeat=dim) if max(map(abs, v)) == largest]
        positive = [v for v in shell if next(entry for entry in v if entry) > 0]
        yield from sorted(positive, key=lambda v: (sum(entry**2 for entry in v), v))
