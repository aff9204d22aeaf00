"""How training clips are changed, so that a model learns what does not matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchaudio.functional import add_noise

from itnet_audio.data.recordings import read_recording
from itnet_audio.data.resampling import resampled


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a clip, each drawn anew from torch's generator.

    Attributes:
        sample_rate: of the clips, in Hz.
        speeds: factors of speed, and with it of pitch, one of which is drawn.
        shift: by how many seconds a clip is moved at most, either way; what comes in is silence.
        gain: by how many decibels it is made louder or softer at most.
        noise: probability that noise is added.
        signal_to_noise: the range of its level below the clip's, in decibels.
        backgrounds: recordings to take the noise from; white noise where there are none.
    """

    sample_rate: int
    speeds: tuple[float, ...]
    shift: float
    gain: float
    noise: float
    signal_to_noise: tuple[float, float]
    backgrounds: Sequence[Path] = ()

    def at_a_speed(self, clip: Tensor) -> Tensor:
        """Return a clip (T,) at one of the speeds; its length changes."""
        rate = self._rates[_below(len(self._rates))] if len(self._rates) > 1 else self._rates[0]
        return clip if rate == self.sample_rate else torch.from_numpy(resampled(clip.numpy(), rate, self.sample_rate))

    def longest_at_any_speed(self, length: int) -> int:
        """Return the number of samples that the highest speed turns into `length`."""
        return -(-length * max(self._rates) // self.sample_rate)

    def __call__(self, clip: Tensor) -> Tensor:
        """Return a clip (T,) with all other changes; its length stays."""
        clip = moved(clip, round(_uniform(-self.shift, self.shift) * self.sample_rate))
        clip = clip * 10 ** (_uniform(-self.gain, self.gain) / 20)
        if self.noise and _uniform(0, 1) < self.noise:
            noise = self._noise(len(clip))
            if noise.any() and clip.any():  # no level is a certain number of decibels below silence
                clip = add_noise(clip, noise, torch.tensor(_uniform(*self.signal_to_noise)))
        return clip

    def _noise(self, length: int) -> Tensor:
        if not self.backgrounds:
            return torch.randn(length)
        path = self.backgrounds[_below(len(self.backgrounds))]
        background = read_recording(path, self.sample_rate, length, at_random=True)
        background = background.repeat(-(-length // len(background)))
        return cropped(background, length, at_random=True)

    @property
    def _rates(self) -> list[int]:
        """The sample rate at which playing a clip gives each speed, in Hz."""
        return [max(1, round(speed * self.sample_rate)) for speed in self.speeds]


def cropped(clip: Tensor, length: int, *, at_random: bool) -> Tensor:
    """Return `length` samples of a clip (T,), from its middle or from anywhere; all of it if it is no longer."""
    spare = max(0, len(clip) - length)
    start = _below(spare + 1) if at_random and spare else spare // 2
    return clip[start : start + length]


def moved(clip: Tensor, samples: int) -> Tensor:
    """Return a clip (T,) moved to later, or to earlier for fewer than 0, in its own length; silence comes in."""
    samples = max(-len(clip), min(len(clip), samples))
    silence = clip.new_zeros(abs(samples))
    if samples >= 0:
        return torch.cat([silence, clip[: len(clip) - samples]])
    return torch.cat([clip[-samples:], silence])


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * torch.rand(()).item()


def _below(count: int) -> int:
    return int(torch.randint(count, ()).item())
