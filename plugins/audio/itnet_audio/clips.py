"""Batches of audio clips: check them, standardise them, and place their cells in time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_core import Field, ShapeError


class Audio(NamedTuple):
    """A batch of mono clips of any lengths. Samples after the end of a clip are ignored.

    Example:
        >>> Audio.of([torch.zeros(16000), torch.zeros(12000)]).lengths
        tensor([16000, 12000])

    Attributes:
        waveform: samples in [−1, 1] at full scale; floating, shape (B, T).
        lengths: number of samples of each clip, 1 to T; whole numbers, shape (B,).
    """

    waveform: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, clips: list[Tensor]) -> Audio:
        """Collate clips of shape (T_i,) into a batch."""
        waveform = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
        return cls(waveform, torch.tensor([len(clip) for clip in clips]))


def check_audio(inputs: Audio, place: str) -> Audio:
    """Return a batch with zeros after the end of each clip.

    Raises:
        ShapeError: the inputs are not an `Audio`, a tensor has another shape or dtype, a length is not in 1 to T, or a
            sample of a clip is not finite.
    """
    expected = "Audio(waveform (B, T) floating, lengths (B,) of whole numbers)"
    if not isinstance(inputs, tuple) or len(inputs) != 2 or not all(isinstance(part, Tensor) for part in inputs):
        hint = "Audio.of([clip, ...]) collates clips."
        raise ShapeError(place, found=type(inputs).__name__, expected=expected, hint=hint)
    waveform, lengths = inputs
    sound = waveform.ndim == 2 and waveform.is_floating_point() and 0 not in waveform.shape
    if not sound or lengths.shape != waveform.shape[:1] or lengths.dtype not in (torch.int32, torch.int64):
        found = " and ".join(f"{tensor.dtype} of shape {tuple(tensor.shape)}" for tensor in (waveform, lengths))
        raise ShapeError(place, found=found, expected=expected)
    within = torch.arange(waveform.shape[1], device=waveform.device) < lengths.unsqueeze(1)
    waveform = waveform.masked_fill(~within, 0.0)
    if not torch.compiler.is_compiling():
        if not ((lengths >= 1) & (lengths <= waveform.shape[1])).all():
            raise ShapeError(place, found=f"lengths {lengths.tolist()}", expected=f"1 to T = {waveform.shape[1]}")
        if not waveform.isfinite().all():
            raise ShapeError(place, found="samples that are NaN or infinite", expected=expected)
    return Audio(waveform, lengths)


def to_multiple(waveform: Tensor, cell: int) -> Tensor:
    """Pad samples (B, T) with zeros at the end, so that `cell` divides T."""
    return F.pad(waveform, (0, -waveform.shape[1] % cell))


def standardize(values: Tensor, valid: Tensor, dims: tuple[int, ...], least: float) -> Tensor:
    """Standardise values to mean 0 and variance 1 over the valid ones along `dims`; invalid values become 0.

    Args:
        values: any shape.
        valid: bool, broadcastable to the shape of `values`.
        dims: dimensions of mean and variance.
        least: smallest standard deviation to divide by, so that near-constant values are not amplified.
    """
    share = valid.expand_as(values).to(values.dtype)
    count = share.sum(dims, keepdim=True)
    centred = (values - (values * share).sum(dims, keepdim=True) / count) * share
    deviation = ((centred**2).sum(dims, keepdim=True) / count).clamp(min=least**2).sqrt()
    return centred / deviation


def clip_field(values: Tensor, lengths: Tensor, cell: float, unit: float, *, start: float = 0.0) -> Field:
    """Return the field of clips cut into cells of time, and optionally of frequency.

    Positions lie on the axis t, from 0 at the beginning of a clip, in units of a fixed length, so that they mean the
    same in clips of any length. A cell that extends beyond its clip has the weight of the part inside it; cells after
    the clip have weight 0.

    Args:
        values: shape (B, cells, d), or (B, cells, bands, d) for bands of equal width from the lowest. All bands
            together are [−1, 1] on the axis x.
        lengths: of the clips in samples, shape (B,).
        cell: length of a cell in samples.
        unit: one unit of t in samples.
        start: beginning of the first cell in samples; it shifts the positions alone.
    """
    count, *bands = values.shape[1:-1]
    cells = torch.arange(count, device=values.device)
    dtype = torch.promote_types(values.dtype, torch.float32)  # half precision would blur the measure
    covered = (lengths.to(dtype).unsqueeze(1) / cell - cells).clamp(0, 1)
    weights = covered.repeat_interleave(bands[0], dim=1) if bands else covered
    bounds = [(start / unit, (start + count * cell) / unit), *[(-1.0, 1.0)] * len(bands)]
    weights = weights / weights.sum(1, keepdim=True)
    return Field.on_grid(values, axes="tx"[: len(bounds)], bounds=bounds, weights=weights)


def example(sample_rate: int) -> Audio:
    """Return two clips of noise, a quarter and a fifth of a second long."""
    return Audio.of([0.1 * torch.randn(sample_rate // part) for part in (4, 5)])
