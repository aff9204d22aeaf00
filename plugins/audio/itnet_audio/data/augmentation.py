"""Random augmentation of training clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchaudio.functional import add_noise

from itnet_audio.data.recordings import read_recording
from itnet_audio.data.resampling import resample_clip


@dataclass(frozen=True)
class ClipAugmentation:
    """Random changes of speed, position, gain and noise, drawn from torch's generator.

    Attributes:
        sample_rate: of the clips, in Hz.
        speeds: factors of speed and pitch, one of which is drawn.
        shift: largest shift in seconds, either way; silence fills the gap.
        gain: largest change of level in decibels, either way.
        noise: probability of adding noise.
        signal_to_noise: range of the signal-to-noise ratio in decibels.
        backgrounds: recordings of noise; white noise if empty.
    """

    sample_rate: int
    speeds: tuple[float, ...]
    shift: float
    gain: float
    noise: float
    signal_to_noise: tuple[float, float]
    backgrounds: Sequence[Path] = ()

    def at_a_speed(self, clip: Tensor) -> Tensor:
        """Resample a clip (T,) to a random speed; its length changes."""
        rate = self._rates[_below(len(self._rates))] if len(self._rates) > 1 else self._rates[0]
        return (
            clip if rate == self.sample_rate else torch.from_numpy(resample_clip(clip.numpy(), rate, self.sample_rate))
        )

    def longest_at_any_speed(self, length: int) -> int:
        """Return the number of samples that the highest speed turns into `length`."""
        return -(-length * max(self._rates) // self.sample_rate)

    def __call__(self, clip: Tensor) -> Tensor:
        """Apply all changes except that of speed to a clip (T,); its length does not change."""
        clip = shift_clip(clip, round(_uniform(-self.shift, self.shift) * self.sample_rate))
        clip = clip * 10 ** (_uniform(-self.gain, self.gain) / 20)
        if self.noise and _uniform(0, 1) < self.noise:
            noise = self._noise(len(clip))
            if noise.any() and clip.any():  # a signal-to-noise ratio needs a signal
                clip = add_noise(clip, noise, torch.tensor(_uniform(*self.signal_to_noise)))
        return clip

    def _noise(self, length: int) -> Tensor:
        if not self.backgrounds:
            return torch.randn(length)
        path = self.backgrounds[_below(len(self.backgrounds))]
        background = read_recording(path, self.sample_rate, length, at_random=True)
        background = background.repeat(-(-length // len(background)))
        return crop(background, length, at_random=True)

    @property
    def _rates(self) -> list[int]:
        """The sample rate at which playing a clip gives each speed, in Hz."""
        return [max(1, round(speed * self.sample_rate)) for speed in self.speeds]


def crop(clip: Tensor, length: int, *, at_random: bool) -> Tensor:
    """Crop a clip (T,) to `length` samples, from its middle or at random; a shorter clip stays whole."""
    spare = max(0, len(clip) - length)
    start = _below(spare + 1) if at_random and spare else spare // 2
    return clip[start : start + length]


def shift_clip(clip: Tensor, samples: int) -> Tensor:
    """Shift a clip (T,) to later, or to earlier if `samples` is negative, in its own length; silence fills the gap."""
    samples = max(-len(clip), min(len(clip), samples))
    silence = clip.new_zeros(abs(samples))
    if samples >= 0:
        return torch.cat([silence, clip[: len(clip) - samples]])
    return torch.cat([clip[-samples:], silence])


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * torch.rand(()).item()


def _below(count: int) -> int:
    return int(torch.randint(count, ()).item())
