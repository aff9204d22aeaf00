"""Encoder of fields on periodic domains."""

from __future__ import annotations

from math import pi
from typing import Any, ClassVar, Self

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveInt, model_validator
from torch import Tensor

from itnet_core import AXES, ComponentConfig, Field, FieldEncoder, ShapeError
from itnet_operators.axes import AxisLetters, Periods

PARTNERS = "xyzt"
"""The order in which free axes become the second axis of a circle."""


class PeriodicFieldEncoder(FieldEncoder):
    """A linear map of a field's values, with each periodic axis bent to a circle of the circumference of its period.

    A circle lies in the plane of its axis and a free one, an axis that the data does not use. So distances are those of
    the circle: of near points, the same as along the axis; of points at both ends of the period, small. The four axes
    of space-time have room for a circle (x), a torus (x and y), or a circle in space (x of x, y, z). Without `periods`
    it is the encoder `field`.

    A kernel that reads positions by their distances alone is then invariant to shifts, but also to reflections. For
    operators that know left from right, such as transport, use the kernel `periodic-mlp`, which needs no circle: leave
    `periods` empty.

    Example:
        >>> encoder = PeriodicFieldEncoder(8, axes="x", periods={"x": 2.0})
        >>> field = encoder(Field.on_grid(torch.randn(1, 6, 1), axes="x"))
        >>> steps = (field.positions - field.positions.roll(1, 1)).norm(dim=-1)
        >>> bool((steps - steps[0, 0]).abs().max() < 1e-6)  # the first point is a neighbour of the last
        True
    """

    class Config(FieldEncoder.Config):
        channels: PositiveInt = 1
        """Channels of the input fields."""

        axes: AxisLetters = "xy"
        """Axes that the data uses; a task sets them."""

        periods: Periods = ConfigField(default={})
        """Length of the period of each periodic axis; 2 where the domain is [-1, 1]."""

        @model_validator(mode="after")
        def _check_axes(self) -> Self:
            if len(set(self.axes)) < len(self.axes) or not set(self.periods) <= set(self.axes):
                raise ValueError(f"periods of some of the axes {self.axes!r}, each axis once")
            if len(self.axes) + len(self.periods) > len(AXES):
                most = len(AXES) - len(self.axes)
                raise ValueError(
                    f"at most {most} periodic of the axes {self.axes!r}, as a circle takes two of {AXES!r}"
                )
            return self

    example_options: ClassVar = {"channels": 3, "axes": "xt", "periods": {"x": 2.0}}

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        free = [AXES.index(axis) for axis in PARTNERS if axis not in self.config.axes]
        self.circles = [
            (AXES.index(axis), partner, period)
            for (axis, period), partner in zip(self.config.periods.items(), free, strict=False)
        ]
        """First axis, second axis and circumference of each circle."""

    def forward(self, inputs: Field) -> Field:
        """Map the values to `dim` channels, and the positions to the circles.

        Args:
            inputs: a field with positions in R^4 and values of shape (B, N, channels).

        Raises:
            ShapeError: `inputs` is not such a field, or has positions other than 0 on the second axis of a circle.
        """
        field = super().forward(inputs)
        if not self.circles:
            return field
        columns = list(inputs.positions.unbind(-1))
        for first, second, period in self.circles:
            self._check_free(columns[second], AXES[second])
            angle = columns[first] * (2 * pi / period)
            columns[first], columns[second] = (period / (2 * pi) * part for part in (angle.cos(), angle.sin()))
        return Field(field.values, torch.stack(columns, dim=-1), field.weights, field.grid)

    def example(self) -> Field:
        """Return the example of the encoder `field`, with positions along the configured axes."""
        field = super().example()
        used = torch.tensor([axis in self.config.axes for axis in AXES])
        return field.replace(positions=field.positions * used)

    def _check_free(self, coordinates: Tensor, axis: str) -> None:
        if not torch.compiler.is_compiling() and (coordinates != 0).any():
            raise ShapeError(
                "PeriodicFieldEncoder(inputs)",
                found=f"positions other than 0 on axis {axis}",
                expected=f"0 there, because the axes are {self.config.axes!r} and a circle takes axis {axis}",
                hint="Set the encoder's axes to all axes that the data uses.",
            )
