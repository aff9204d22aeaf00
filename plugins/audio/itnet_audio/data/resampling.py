"""Resample any part of a recording between any two rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

ZEROS = 6
"""Zero crossings of the sinc on each side within the window; torchaudio's default."""

ROLLOFF = 0.99
"""Share of the lower rate's band that is kept; torchaudio's default."""


@dataclass(frozen=True)
class Resampling:
    """Band-limited interpolation of any range of output samples, as `torchaudio.functional.resample` computes it.

    Between rates without a common factor, torchaudio's filter bank has rate × sample_rate entries, nearly all 0. This
    computes only the entries within the window: about 12 for each phase, times the ratio when downsampling.

    Attributes:
        rate: of the input, in Hz.
        sample_rate: of the output, in Hz.
    """

    rate: int
    sample_rate: int

    def length(self, samples: int) -> int:
        """Return the number of output samples for a number of input samples."""
        return -(-samples * self.sample_rate // self.rate)

    def needed(self, start: int, stop: int) -> tuple[int, int]:
        """Return the range of input samples that the output samples from `start` to `stop` depend on.

        It may begin before 0 and end after the last input sample.
        """
        first, last = (n * self.rate // self.sample_rate for n in (start, stop - 1))
        return first - self._width, last + self._width + 2

    def __call__(self, samples: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
        """Compute the output samples from `start` to `stop`, shape (stop − start,).

        Args:
            samples: input samples of the range `needed`, 0 outside the recording.
            start: index of the first output sample.
            stop: index after the last output sample.
        """
        common = math.gcd(self.rate, self.sample_rate)
        rate, sample_rate = self.rate // common, self.sample_rate // common
        numbers = np.arange(start, min(stop, start + sample_rate))  # later samples have the same phases
        starts, phases = np.divmod(numbers * rate, sample_rate)
        weights = self._weights(phases / sample_rate)
        windows = sliding_window_view(samples, weights.shape[1])
        result = np.empty(stop - start, np.float32)
        for i, offset in enumerate(starts - starts[0]):
            output = result[i::sample_rate]
            np.einsum("nk,k->n", windows[offset::rate][: len(output)], weights[i], out=output)
        return result

    @property
    def _width(self) -> int:
        return math.ceil(ZEROS * self.rate / self._band)

    @property
    def _band(self) -> float:
        return ROLLOFF * min(self.rate, self.sample_rate)

    def _weights(self, phases: NDArray[np.float64]) -> NDArray[np.float32]:
        """Compute the filter's weights for each phase, the distance past an input sample; shape (phases, window)."""
        steps = np.arange(-self._width, self._width + 2)
        scale = self._band / self.rate
        times = ((steps - phases[:, None]) * scale).clip(-ZEROS, ZEROS)
        window = np.cos(times * (np.pi / 2 / ZEROS)) ** 2
        return (np.sinc(times) * window * scale).astype(np.float32)


def resample_clip(samples: NDArray[np.float32], rate: int, sample_rate: int) -> NDArray[np.float32]:
    """Resample a whole recording of shape (T,)."""
    resampling = Resampling(rate, sample_rate)
    stop = resampling.length(len(samples))
    first, last = resampling.needed(0, stop)
    return resampling(np.pad(samples, (-first, last - len(samples))), 0, stop)
