"""Frames of models of raw samples with a convolutional stem: wav2vec 2.0, HuBERT, WavLM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_audio.clips import clip_field, standardize
from itnet_core import Field


class Frames(NamedTuple):
    """Frames of clips, at equal steps.

    Attributes:
        values: shape (B, frames, d).
        counts: number of frames of each clip, shape (B,).
        cell: samples from frame to frame.
        start: beginning of the first frame's cell in samples; cells are centred on the samples that a frame is
            computed from.
    """

    values: Tensor
    counts: Tensor
    cell: int
    start: float

    def field(self, unit: float) -> Field:
        """Return the field of the frames, with `unit` samples in one unit of t."""
        return clip_field(self.values, self.counts * self.cell, self.cell, unit, start=self.start)


def frames_of_samples(
    waveform: Tensor,
    lengths: Tensor,
    layers: Sequence[tuple[int, int]],
    states: Callable[[Tensor, Tensor | None], Tensor],
    *,
    normalization: bool,
    masks: bool,
) -> Frames:
    """Compute the frames of clips by a model of raw samples, so that those of a clip do not depend on the others.

    Example:
        >>> clips = torch.randn(2, 100), torch.tensor([100, 60])
        >>> mean = lambda samples, lengths: samples.unfold(1, 10, 5).mean(-1, keepdim=True)
        >>> frames = frames_of_samples(*clips, [(10, 5)], mean, normalization=False, masks=False)
        >>> frames.values.shape, frames.counts, frames.start
        (torch.Size([2, 19, 1]), tensor([19, 11]), 2.5)

    Args:
        waveform: samples, shape (B, T), 0 after the end of a clip.
        lengths: number of samples of each clip, shape (B,).
        layers: size and stride of each convolution of the model's stem.
        states: the model: it maps samples (B, T) to frames (B, frames, d), and takes the lengths of the clips, or
            `None` if all have T samples.
        normalization: standardise clips to mean 0 and variance 1.
        masks: whether the model ignores samples after the end of a clip. Otherwise clips are computed in groups of
            equal length, as by models whose first norm is over time.
    """
    steps = [prod(stride for _, stride in layers[:number]) for number in range(len(layers) + 1)]
    reach = 1 + sum((size - 1) * step for (size, _), step in zip(layers, steps, strict=False))
    cell = steps[-1]
    if normalization:
        within = torch.arange(waveform.shape[1], device=lengths.device) < lengths.unsqueeze(1)
        waveform = standardize(waveform, within, (1,), least=3e-4)
    waveform = F.pad(waveform, (0, max(0, reach - waveform.shape[1])))  # a frame at least
    lengths = lengths.clamp(min=reach)
    if masks:
        values = states(waveform, lengths)
    else:
        groups = [(lengths == length).nonzero().squeeze(1) for length in torch.unique(lengths)]
        parts = [states(waveform[group, : int(lengths[group[0]])], None) for group in groups]
        count = max(part.shape[1] for part in parts)
        padded = [F.pad(part, (0, 0, 0, count - part.shape[1])) for part in parts]
        values = torch.cat(padded)[torch.cat(groups).argsort()]
    return Frames(values, (lengths - reach) // cell + 1, cell, (reach - cell) / 2)
