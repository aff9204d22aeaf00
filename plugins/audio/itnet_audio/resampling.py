"""Band-limited interpolation of any part of a recording, for any two rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

ZEROS = 6
"""Zero crossings of the sinc on each side, within the window; torchaudio's default."""

ROLLOFF = 0.99
"""Share of the lower rate's band that is kept; torchaudio's default."""


@dataclass(frozen=True)
class Resampling:
    """The samples of `torchaudio.functional.resample`, of which any may be computed alone.

    torchaudio's filter has as many numbers as the product of the two rates, where they have no common factor. In each
    of its rows all are 0 but those within the window, which alone are computed here.

    Attributes:
        rate: that there is, in Hz.
        sample_rate: that is wanted, in Hz.
    """

    rate: int
    sample_rate: int

    def length(self, samples: int) -> int:
        """Return how many samples become of so many."""
        return -(-samples * self.sample_rate // self.rate)

    def needed(self, start: int, stop: int) -> tuple[int, int]:
        """Return the first and the end of the samples that those from `start` to `stop` depend on."""
        first, last = (n * self.rate // self.sample_rate for n in (start, stop - 1))
        return first - self._width, last + self._width + 2

    def __call__(self, samples: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
        """Return the samples from `start` to `stop` at the new rate, shape (stop − start,).

        Args:
            samples: those that are `needed`, with zeros for those before the recording's first and behind its last.
            start, stop: at the new rate.
        """
        common = math.gcd(self.rate, self.sample_rate)
        rate, sample_rate = self.rate // common, self.sample_rate // common
        numbers = np.arange(start, min(stop, start + sample_rate))  # from here on, the same weights come again
        places, phases = np.divmod(numbers * rate, sample_rate)
        weights = self._weights(phases / sample_rate)
        windows = sliding_window_view(samples, weights.shape[1])
        result = np.empty(stop - start, np.float32)
        for i, place in enumerate(places - places[0]):
            of_phase = result[i::sample_rate]
            np.einsum("nk,k->n", windows[place::rate][: len(of_phase)], weights[i], out=of_phase)
        return result

    @property
    def _width(self) -> int:
        return math.ceil(ZEROS * self.rate / self._band)

    @property
    def _band(self) -> float:
        return ROLLOFF * min(self.rate, self.sample_rate)

    def _weights(self, phases: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return what the samples around a place weigh, for its distances from a sample, shape (phases, window)."""
        steps = np.arange(-self._width, self._width + 2)
        scale = self._band / self.rate
        times = ((steps - phases[:, None]) * scale).clip(-ZEROS, ZEROS)
        window = np.cos(times * (np.pi / 2 / ZEROS)) ** 2
        return (np.sinc(times) * window * scale).astype(np.float32)


def resampled(samples: NDArray[np.float32], rate: int, sample_rate: int) -> NDArray[np.float32]:
    """Return a whole recording (T,) at another rate."""
    resampling = Resampling(rate, sample_rate)
    stop = resampling.length(len(samples))
    first, last = resampling.needed(0, stop)
    return resampling(np.pad(samples, (-first, last - len(samples))), 0, stop)
