"""Encoder of log-mel spectrograms."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from itnet_audio.clips import Audio, check_audio, clip_field, example, standardize, to_multiple
from itnet_core import ComponentConfig, ConfigError, Encoder, Field

FLOOR = 1e-8
"""Added to the power before its logarithm: 80 dB below 1, near the noise of 16-bit samples."""


class MelEncoder(Encoder):
    """Patches of a log-mel spectrogram over time and frequency as points; the value is a linear map of a patch.

    The spectrogram is torchaudio's: Hann windows, power, the HTK mel scale. A frame represents one hop of samples at
    the centre of its window, so that the first and last samples of a clip count as much as the others. Windows are
    padded with zeros before and after a clip, and patches with zeros of the standardised spectrogram.

    A point lies at its patch's centre: on t in time (see `unit_seconds`), and on x in frequency, where the mel bands
    from `f_min` to `f_max` fill [−1, 1] evenly.

    Example:
        >>> from itnet_audio.clips import Audio
        >>> encoder = MelEncoder(64)
        >>> field = encoder(Audio.of([torch.randn(16000), torch.randn(12000)]))
        >>> field.values.shape, field.grid
        (torch.Size([2, 52, 64]), (13, 4))
    """

    modality = "audio"
    axes = "tx"

    class Config(ComponentConfig):
        sample_rate: PositiveInt = 16000
        """Sample rate of the clips in Hz."""

        n_mels: PositiveInt = 64
        """Number of mel bands."""

        window_ms: PositiveFloat = 25.0
        """Length of a frame in milliseconds."""

        hop_ms: PositiveFloat = 10.0
        """Step from frame to frame in milliseconds; at most a window."""

        f_min: NonNegativeFloat = 20.0
        """Lower edge of the lowest band in Hz."""

        f_max: PositiveFloat | None = None
        """Upper edge of the highest band in Hz; by default half the sample rate."""

        patch_frames: PositiveInt = 8
        """Number of frames of a patch."""

        patch_mels: PositiveInt = 16
        """Number of bands of a patch; a divisor of `n_mels`."""

        normalization: Literal["clip", "band", "fixed"] = "clip"
        """Normalisation of the logarithms. `clip`: mean 0 and variance 1 over a clip, so that loudness has no effect;
        `band`: the same in each band, so that the spectrum of a voice or a microphone has no effect either; `fixed`:
        the same shift and scale for all clips."""

        unit_seconds: Annotated[float, ConfigField(gt=0)] = 1.0
        """Seconds in one unit of t. With half the length of a clip, the clip spans 2 units, as [-1, 1] does."""

        @model_validator(mode="after")
        def _fits(self) -> MelEncoder.Config:
            if self.n_mels % self.patch_mels:
                raise ValueError(f"patch_mels = {self.patch_mels} to divide n_mels = {self.n_mels}")
            if self.hop > self.window or self.hop < 1:
                raise ValueError(f"hop_ms of one sample or more, and at most window_ms = {self.window_ms}")
            if not self.f_min < self.highest <= self.sample_rate / 2:
                raise ValueError(
                    f"f_min = {self.f_min} < f_max = {self.highest} <= half the sample rate, {self.sample_rate / 2}"
                )
            return self

        @property
        def window(self) -> int:
            """Samples of a frame."""
            return round(self.window_ms * self.sample_rate / 1000)

        @property
        def hop(self) -> int:
            """Samples from frame to frame."""
            return round(self.hop_ms * self.sample_rate / 1000)

        @property
        def highest(self) -> float:
            """Upper edge of the highest band in Hz."""
            return self.sample_rate / 2 if self.f_max is None else self.f_max

    window: Tensor
    bands: Tensor

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        c = self.config
        self.transform = 1 << (c.window - 1).bit_length()
        frequencies = self.transform // 2 + 1
        # Counts the memory of the bands against a limit before they are computed; a meta tensor takes none.
        torch.empty(5, frequencies, c.n_mels, device="meta")
        empty = c.n_mels - self.transform  # a frequency lies in two bands at most
        if empty <= 0:
            with warnings.catch_warnings():  # torchaudio's warning about empty bands; they are refused below
                warnings.simplefilter("ignore")
                bands = melscale_fbanks(frequencies, c.f_min, c.highest, c.n_mels, c.sample_rate)
            empty = int((bands == 0).all(0).sum())
        if empty:
            raise ConfigError(
                "MelEncoder.n_mels",
                found=f"{c.n_mels} bands, {empty} or more of which lie between two frequencies of a window of "
                f"{c.window_ms} ms",
                expected="bands that each contain at least one frequency",
                hint="Take fewer bands, or a longer window.",
            )
        # They follow from the configuration, so a checkpoint does not contain them.
        self.register_buffer("window", torch.hann_window(c.window), persistent=False)
        self.register_buffer("bands", bands, persistent=False)
        self.projection = nn.Conv2d(1, dim, (c.patch_frames, c.patch_mels), (c.patch_frames, c.patch_mels))

    def forward(self, inputs: Audio) -> Field:
        """Encode clips as the field of the patches.

        Args:
            inputs: clips of `sample_rate`.

        Raises:
            ShapeError: a tensor has another shape or dtype, or samples that are not finite.
        """
        c = self.config
        levels, lengths = self._levels(inputs)
        values = self.projection(levels.unsqueeze(1).to(self.projection.weight.dtype)).permute(0, 2, 3, 1)
        return clip_field(values, lengths, c.hop * c.patch_frames, c.unit_seconds * c.sample_rate)

    def images(self, inputs: Audio) -> Tensor:
        """Return the log-mel spectrogram of each clip, (B, 1, n_mels, frames), low bands below."""
        levels, _ = self._levels(inputs)
        return levels.transpose(1, 2).flip(1).unsqueeze(1)

    def _levels(self, inputs: Audio) -> tuple[Tensor, Tensor]:
        waveform, lengths = check_audio(inputs, "MelEncoder(inputs)")
        return self.log_mel(to_multiple(waveform, self.config.hop * self.config.patch_frames), lengths), lengths

    def example(self) -> Audio:
        """Return two clips of noise."""
        return example(self.config.sample_rate)

    def log_mel(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Compute the standardised log-mel spectrogram, shape (B, T / hop, n_mels), 0 after the end of each clip.

        Args:
            waveform: shape (B, T), where the hop divides T; 0 after the end of each clip.
            lengths: of the clips, shape (B,).
        """
        c = self.config
        around = self.transform - c.hop
        # In half precision neighbouring levels would be one: powers span ten orders of magnitude.
        precise = torch.promote_types(self.projection.weight.dtype, torch.float32)
        with torch.autocast(waveform.device.type, enabled=False):
            padded = F.pad(waveform.to(precise), (around // 2, around - around // 2))
            window = self.window.to(precise)
            # torchaudio's spectrogram, which cannot be compiled, is this too.
            spectrum = torch.stft(padded, self.transform, c.hop, c.window, window, center=False, return_complex=True)
            power = torch.view_as_real(spectrum).square().sum(-1)
            # Normalized by the window, so that levels depend on neither its length nor the sample rate.
            power = power / window.square().sum()
            levels = (power.transpose(1, 2) @ self.bands.to(precise) + FLOOR).log()
            frames = torch.arange(levels.shape[1], device=levels.device)
            valid = (frames * c.hop < lengths.unsqueeze(1)).unsqueeze(-1)
            if c.normalization == "fixed":  # speech lies between about −16 and 0
                return ((levels + 8) / 4).masked_fill(~valid, 0.0)
            return standardize(levels, valid, (1, 2) if c.normalization == "clip" else (1,), least=0.1)
