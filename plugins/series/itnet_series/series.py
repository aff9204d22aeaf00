"""Batches of time series: check them, standardise them, and place their steps in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from itnet_core import ShapeError


class Series(NamedTuple):
    """A batch of time series of any lengths. Steps after the end of a series are ignored.

    Example:
        >>> short, long = torch.tensor([[1.0], [float("nan")]]), torch.randn(3, 1)
        >>> series = Series.of([short, long], [torch.tensor([0.0, 0.5]), torch.arange(3.0)])
        >>> series.values.shape, series.lengths
        (torch.Size([2, 3, 1]), tensor([2, 3]))

    Attributes:
        values: floating, shape (B, T, c); NaN for a missing value.
        times: of the steps, strictly increasing within a series; floating, shape (B, T). Only differences matter.
        lengths: number of steps of each series, 1 to T; whole numbers, shape (B,).
    """

    values: Tensor
    times: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, values: Sequence[Tensor], times: Sequence[Tensor] | None = None) -> Series:
        """Collate series of shape (T_i, c), with times of shape (T_i,), by default 0, 1, 2, …, into a batch."""
        if times is None:
            times = [torch.arange(len(item), dtype=item.dtype, device=item.device) for item in values]
        lengths = torch.tensor([len(item) for item in values], device=values[0].device)
        return cls(pad_sequence(list(values), batch_first=True), pad_sequence(list(times), batch_first=True), lengths)


class Steps(NamedTuple):
    """The steps of a checked batch of series, with steps that continue each series at its mean rate as padding.

    Attributes:
        values: shape (B, T, c); 0 where a value is missing.
        observed: mask of the values that are not missing, bool, shape (B, T, c).
        times: from 0 at the first step of a series, in float32 at least, shape (B, T).
        covered: time that each step covers, from the middle between it and the step before to the middle between it
            and the step after; the first and the last step cover as much on the outside as on the inside. 0 for
            padding. Shape (B, T).
    """

    values: Tensor
    observed: Tensor
    times: Tensor
    covered: Tensor


def check_series(inputs: Series, channels: int, place: str, multiple: int = 1) -> Steps:
    """Return the steps of a batch, with T a multiple of `multiple`.

    Raises:
        ShapeError: the inputs are not a `Series` of so many channels, a tensor has another shape or dtype, a length is
            not in 1 to T, a value is infinite, or times are not finite and strictly increasing.
    """
    expected = f"Series(values (B, T, {channels}) floating, times (B, T) floating, lengths (B,) of whole numbers)"
    if not isinstance(inputs, tuple) or len(inputs) != 3 or not all(isinstance(part, Tensor) for part in inputs):
        hint = "Series.of([series, ...]) collates series."
        raise ShapeError(place, found=type(inputs).__name__, expected=expected, hint=hint)
    values, times, lengths = inputs
    sound = values.ndim == 3 and values.shape[2] == channels and 0 not in values.shape
    sound = sound and times.shape == values.shape[:2] and lengths.shape == values.shape[:1]
    whole = lengths.dtype in (torch.int32, torch.int64)
    if not sound or not values.is_floating_point() or not times.is_floating_point() or not whole:
        found = ", ".join(f"{tensor.dtype} of shape {tuple(tensor.shape)}" for tensor in inputs)
        raise ShapeError(place, found=found, expected=expected)
    steps = torch.arange(times.shape[1], device=times.device)
    within = steps < lengths.unsqueeze(1)
    if not torch.compiler.is_compiling():
        _check_numbers(inputs, within, place)
    more = -values.shape[1] % multiple
    observed = within.unsqueeze(-1) & ~values.isnan()
    values = torch.where(observed, values, 0.0)
    if more:
        values, observed = (torch.nn.functional.pad(tensor, (0, 0, 0, more)) for tensor in (values, observed))
    times, covered = _place(times.to(torch.promote_types(times.dtype, torch.float32)), lengths, within, more)
    return Steps(values, observed, times, covered)


def _check_numbers(inputs: Series, within: Tensor, place: str) -> None:
    values, times, lengths = inputs
    if not ((lengths >= 1) & (lengths <= values.shape[1])).all():
        raise ShapeError(place, found=f"lengths {lengths.tolist()}", expected=f"1 to T = {values.shape[1]}")
    if (values.isinf() & within.unsqueeze(-1)).any():
        raise ShapeError(place, found="values that are infinite", expected="numbers, or NaN for missing values")
    later = (times.diff(dim=1) > 0) | ~within[:, 1:]
    if not later.all() or not times.isfinite().logical_or(~within).all():
        raise ShapeError(place, found="times that are not", expected="finite, strictly increasing times in each series")


def _place(times: Tensor, lengths: Tensor, within: Tensor, more: int) -> tuple[Tensor, Tensor]:
    """Return times and covered times of the steps and of `more` steps of padding."""
    last = lengths.unsqueeze(1).long() - 1
    times = times - times[:, :1]
    end = times.gather(1, last)
    step = torch.where(last > 0, end / last.clamp(min=1), 1.0)
    index = torch.arange(times.shape[1] + more + 1, device=times.device)  # one more, for the gap after the last step
    continued = end + (index - last) * step
    times = torch.cat([torch.where(within, times, continued[:, : times.shape[1]]), continued[:, times.shape[1] :]], 1)
    after = times.diff(dim=1)
    before = torch.cat([after[:, :1], after[:, :-1]], 1)
    after = torch.where(index[:-1] == last, before, after)
    return times[:, :-1], torch.where(index[:-1] <= last, (before + after) / 2, 0.0)


def standardize(values: Tensor, observed: Tensor, least: float) -> Tensor:
    """Standardise each channel of each series to mean 0 and variance 1 over its observed values; others become 0.

    Args:
        values: shape (B, T, c).
        observed: bool, shape (B, T, c).
        least: smallest standard deviation to divide by, so that near-constant channels are not amplified.
    """
    count = observed.sum(1, keepdim=True).clamp(min=1)
    centred = (values - (values * observed).sum(1, keepdim=True) / count) * observed
    return centred / ((centred**2).sum(1, keepdim=True) / count).clamp(min=least**2).sqrt()
