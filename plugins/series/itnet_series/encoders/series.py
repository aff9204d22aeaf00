"""Encoder of the steps of time series."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from itnet_core import AXES, ComponentConfig, Encoder, Field
from itnet_series.series import Series, check_series, standardize

Finite = Annotated[float, ConfigField(allow_inf_nan=False)]


class SeriesEncoder(Encoder):
    """Steps of a series, or patches of consecutive steps, as points in time; the value is a linear map of a patch.

    A missing value contributes 0 after the normalisation, and a learned vector marks it as missing. A point lies on the
    axis t at the time of its step, from 0 at the first, in units of `unit`; a patch at the mean of the times of its
    steps. Its weight is the share of time that it covers, so the field's integrals are those over time, however
    unevenly the series is sampled.

    Example:
        >>> from itnet_series.series import Series
        >>> encoder = SeriesEncoder(64, channels=2)
        >>> field = encoder(Series.of([torch.randn(5, 2), torch.randn(3, 2)]))
        >>> field.values.shape, field.weights[1]
        (torch.Size([2, 5, 64]), tensor([0.3333, 0.3333, 0.3333, 0.0000, 0.0000]))
    """

    modality = "series"
    axes = "t"

    class Config(ComponentConfig):
        channels: PositiveInt = 1
        """Channels of the series."""

        patch: PositiveInt = 1
        """Number of consecutive steps that form a point. The times of the steps within a patch are not an input, so
        more than one suits evenly sampled series."""

        normalization: Literal["fixed", "sample", "none"] = "fixed"
        """`fixed`: subtract `mean` and divide by `std`, the same for all series; `sample`: then standardise each
        channel of each series, so that its level and scale have no effect; `none`: keep the values."""

        mean: tuple[Finite, ...] | None = None
        """Mean of each channel; a task sets it to that of its training series. 0 by default."""

        std: tuple[PositiveFloat, ...] | None = None
        """Standard deviation of each channel; a task sets it to that of its training series. 1 by default."""

        missing: bool = True
        """Whether a learned vector marks each missing value; otherwise a missing value equals the mean."""

        weights: Literal["time", "steps"] = "time"
        """Weight of a point: the time that it covers, or its number of steps."""

        unit: PositiveFloat = 1.0
        """Time in one unit of t. With half the length of a series, the series spans 2 units, as [-1, 1] does."""

        @model_validator(mode="after")
        def _fits(self) -> Self:
            for name in ("mean", "std"):
                numbers = getattr(self, name)
                if numbers is not None and len(numbers) != self.channels:
                    raise ValueError(f"{name} of {self.channels} numbers, one for each channel")
            return self

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        c = self.config
        # They follow from the configuration, so a checkpoint does not contain them.
        self.register_buffer("mean", torch.tensor(c.mean or [0.0] * c.channels), persistent=False)
        self.register_buffer("std", torch.tensor(c.std or [1.0] * c.channels), persistent=False)
        self.projection = nn.Linear(c.patch * c.channels * (2 if c.missing else 1), dim)

    def forward(self, inputs: Series) -> Field:
        """Encode series as the field of their patches.

        Args:
            inputs: series of `channels` channels.

        Raises:
            ShapeError: a tensor has another shape or dtype, a value is infinite, or times do not increase.
        """
        c = self.config
        values, observed, times, covered = check_series(inputs, c.channels, "SeriesEncoder(inputs)", c.patch)
        dtype = self.projection.weight.dtype
        precise = torch.promote_types(dtype, torch.float32)
        values = values.to(torch.promote_types(values.dtype, precise))
        if c.normalization != "none":
            values = (values - self.mean.to(values)) / self.std.to(values) * observed
        if c.normalization == "sample":
            values = standardize(values, observed, least=1e-3)
        if c.missing:
            values = torch.cat([values, (~observed).to(values)], -1)
        shape = (*times.shape[:1], times.shape[1] // c.patch, c.patch)
        weights = (covered if c.weights == "time" else (covered > 0).to(times)).view(shape).sum(-1)
        weights = weights / weights.sum(1, keepdim=True)
        t = (times.view(shape).mean(-1) / c.unit).to(precise)
        positions = torch.cat([t.unsqueeze(-1), t.new_zeros(*t.shape, len(AXES) - 1)], -1)
        points = self.projection(values.to(dtype).reshape(*shape[:2], -1))
        return Field(points, positions, weights.to(precise), (shape[1],))

    def example(self) -> Series:
        """Return two series of noise, sampled unevenly, with a missing value."""
        values = [torch.randn(length, self.config.channels) for length in (12, 9)]
        values[0][2, 0] = torch.nan
        return Series.of(values, [(0.2 + torch.rand(len(item))).cumsum(0) for item in values])
