"""Encoder of raw samples by strided convolutions."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_audio.clips import Audio, check_audio, clip_field, example, standardize, to_multiple
from itnet_core import ComponentConfig, Encoder, Field

Strides = Annotated[tuple[PositiveInt, ...], ConfigField(min_length=1)]


class WaveformEncoder(Encoder):
    """Strided convolutions over raw samples, each doubling the channels up to the trunk's width, and a linear map.

    After Baevski et al., "wav2vec 2.0" (arXiv 2006.11477): each clip is standardised, and each convolution is followed
    by a norm over its channels and GELU. A kernel spans three strides: its cell and one cell on either side. So a point
    lies at the centre of its receptive field.

    Example:
        >>> from itnet_audio.clips import Audio
        >>> encoder = WaveformEncoder(64)
        >>> encoder(Audio.of([torch.randn(16000), torch.randn(12000)])).values.shape
        torch.Size([2, 50, 64])
    """

    modality = "audio"
    axes = "t"

    class Config(ComponentConfig):
        sample_rate: PositiveInt = 16000
        """Sample rate of the clips in Hz."""

        strides: Strides = (5, 4, 4, 4)
        """Strides of the convolutions. A point represents as many samples as their product."""

        normalization: bool = True
        """Standardise clips to mean 0 and variance 1, independent of loudness."""

        unit_seconds: PositiveFloat = 1.0
        """Seconds in one unit of t. With half the length of a clip, the clip spans 2 units, as [-1, 1] does."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        strides = self.config.strides
        widths = [max(16, dim >> doublings) for doublings in reversed(range(len(strides)))]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(below, width, 3 * stride, stride, padding=stride)
            for below, width, stride in zip([1, *widths], widths, strides, strict=False)
        )
        self.norms = nn.ModuleList(map(nn.LayerNorm, widths))
        self.projection = nn.Linear(widths[-1], dim)

    def forward(self, inputs: Audio) -> Field:
        """Encode clips as the field of the stem's cells.

        Args:
            inputs: clips of `sample_rate`.

        Raises:
            ShapeError: a tensor has another shape or dtype, or samples that are not finite.
        """
        c = self.config
        waveform, lengths = check_audio(inputs, "WaveformEncoder(inputs)")
        waveform = to_multiple(waveform.to(self.projection.weight.dtype), prod(c.strides))
        if c.normalization:
            waveform = standardize(waveform, _within(waveform.shape[1], lengths), (1,), least=1e-4)
        values, cells = waveform.unsqueeze(1), lengths
        for convolution, norm, stride in zip(self.convolutions, self.norms, c.strides, strict=True):
            values = F.gelu(norm(convolution(values).transpose(1, 2))).transpose(1, 2)
            cells = (cells + stride - 1) // stride
            # The next convolution must not see beyond a clip's end, however long the batch is.
            values = values.masked_fill(~_within(values.shape[2], cells).unsqueeze(1), 0.0)
        points = self.projection(values.transpose(1, 2))
        return clip_field(points, lengths, prod(c.strides), c.unit_seconds * c.sample_rate)

    def example(self) -> Audio:
        """Return two clips of noise."""
        return example(self.config.sample_rate)


def _within(count: int, lengths: Tensor) -> Tensor:
    """Compute a mask of `count` steps, true within each clip, of shape (B, count)."""
    return torch.arange(count, device=lengths.device) < lengths.unsqueeze(1)
