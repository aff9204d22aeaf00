"""Base of audio classification: load, crop and augment recordings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field as ConfigField
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from itnet_audio.clips import Audio
from itnet_audio.data.augmentation import ClipAugmentation, crop
from itnet_audio.data.recordings import SUFFIXES, Sound, read_recording, read_sound, recording_seconds, sound_of
from itnet_tasks import Classification, one_of
from itnet_tasks.stored import Content

Probability = Annotated[float, ConfigField(ge=0, le=1)]
Speeds = Annotated[tuple[PositiveFloat, ...], ConfigField(min_length=1)]


class AudioClassification(Classification):
    """Base of tasks on mono clips of one sample rate, up to a largest length, augmented for training."""

    class Config(Classification.Config):
        root: str
        """Folder of the recordings."""

        sample_rate: PositiveInt = 16000
        """Sample rate that recordings are resampled to, in Hz."""

        max_seconds: PositiveFloat = 4.0
        """Length of the longest clip. Longer recordings are cropped: to a random part for training, else the middle."""

        augment: bool = True
        """Augment training clips."""

        speeds: Speeds = (1.0,)
        """Factors of speed and pitch, one of which is drawn for each training clip: `[0.9, 1.0, 1.1]`."""

        shift: NonNegativeFloat = 0.1
        """Largest shift of a training clip in seconds, either way; silence fills the gap."""

        gain: NonNegativeFloat = 6.0
        """Largest change of a training clip's level in decibels, either way."""

        noise: Probability = 0.0
        """Probability of adding noise to a training clip."""

        signal_to_noise: tuple[float, float] = (10.0, 40.0)
        """Range of the signal-to-noise ratio in decibels."""

    modality = "audio"
    suffixes = SUFFIXES

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """Sample rate, and the unit of t in which the longest clip spans 2."""
        return {"sample_rate": self.config.sample_rate, "unit_seconds": self.config.max_seconds / 2}

    def backgrounds(self) -> Sequence[Path]:
        """Return recordings of noise for augmentation; by default none, and white noise is added."""
        return ()

    def length(self, source: Path | Content) -> float:
        """Return the seconds of a clip."""
        return min(recording_seconds(source), self.config.max_seconds)

    def loader(self, *, training: bool) -> Callable[[Path | Content | Sound], Tensor]:
        """Return a function from a recording to a clip (T,)."""
        c = self.config
        augmentation = None
        if training and c.augment:
            backgrounds = self.backgrounds() if c.noise else ()
            augmentation = ClipAugmentation(
                c.sample_rate, c.speeds, c.shift, c.gain, c.noise, c.signal_to_noise, backgrounds
            )
        return ClipLoader(c.sample_rate, round(c.max_seconds * c.sample_rate), augmentation)

    def source_of(self, value: Any) -> Path | Sound:
        """Return a user's recording: samples (T,) or (T, channels) at the task's sample rate, or `array` and
        `sampling_rate` in a mapping, as Hugging Face's datasets have them; a row of a table names it `audio`.

        Raises:
            DataError: it is another value.
        """
        value = value if isinstance(value, Mapping) and "array" in value else one_of(value, "audio")
        return value if isinstance(value, Path) else sound_of(value, self.config.sample_rate)

    def collate_inputs(self, inputs: Sequence[Tensor]) -> Audio:
        """Collate clips of any lengths."""
        return Audio.of(list(inputs))


@dataclass(frozen=True)
class ClipLoader:
    """A function that loads a recording as a clip.

    Attributes:
        sample_rate: of the clip, in Hz.
        length: of the longest clip, in samples.
        augmentation: for training; `None` for evaluation.
    """

    sample_rate: int
    length: int
    augmentation: ClipAugmentation | None = None

    def __call__(self, source: Path | Content | Sound) -> Tensor:
        """Load the clip of a file, of the content of one, or of samples in memory, shape (T,).

        Raises:
            DataError: the file contains no sound recording.
        """
        if isinstance(source, Sound):
            return read_sound(source, self.sample_rate, self.length)
        augmentation = self.augmentation
        if augmentation is None:
            return read_recording(source, self.sample_rate, self.length)
        longest = augmentation.longest_at_any_speed(self.length)
        part = augmentation.at_a_speed(read_recording(source, self.sample_rate, longest, at_random=True))
        return augmentation(crop(part, self.length, at_random=True))
