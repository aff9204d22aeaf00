"""What all tasks of classifying recordings share: how a recording becomes the clip that an encoder reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field as ConfigField
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from itnet_audio.clips import Audio
from itnet_audio.data.augmentation import Augmentation, cropped
from itnet_audio.data.recordings import read_recording
from itnet_tasks import Classification

Probability = Annotated[float, ConfigField(ge=0, le=1)]
Speeds = Annotated[tuple[PositiveFloat, ...], ConfigField(min_length=1)]


class AudioClassification(Classification):
    """Base of the tasks: mono clips of one sample rate, of any length up to a largest, augmented for training."""

    class Config(Classification.Config):
        root: str
        """The folder that holds the recordings."""

        sample_rate: PositiveInt = 16000
        """That recordings are brought to, in Hz."""

        max_seconds: PositiveFloat = 4.0
        """The longest clip; of longer recordings the middle, and for training a random part."""

        augment: bool = True
        """Whether training clips are augmented at all."""

        speeds: Speeds = (1.0,)
        """Factors of speed (and pitch), one of which is drawn for each training clip: `[0.9, 1.0, 1.1]`."""

        shift: NonNegativeFloat = 0.1
        """By how many seconds a training clip is moved at most, either way; what comes in is silence."""

        gain: NonNegativeFloat = 6.0
        """By how many decibels it is made louder or softer at most."""

        noise: Probability = 0.0
        """Probability that noise is added to it."""

        signal_to_noise: tuple[float, float] = (10.0, 40.0)
        """The range of the noise's level below the clip's, in decibels."""

    modality = "audio"

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """The sample rate, and the unit of t in which the longest clip spans 2."""
        return {"sample_rate": self.config.sample_rate, "unit_seconds": self.config.max_seconds / 2}

    def backgrounds(self) -> Sequence[Path]:
        """Return recordings to take noise from; none by default, and the noise is white."""
        return ()

    def loader(self, *, training: bool) -> Callable[[Path], Tensor]:
        """Return what makes of a recording a clip (T,)."""
        c = self.config
        augmentation = None
        if training and c.augment:
            backgrounds = self.backgrounds() if c.noise else ()
            augmentation = Augmentation(
                c.sample_rate, c.speeds, c.shift, c.gain, c.noise, c.signal_to_noise, backgrounds
            )
        return ClipLoader(c.sample_rate, round(c.max_seconds * c.sample_rate), augmentation)

    def collate_inputs(self, inputs: Sequence[Tensor]) -> Audio:
        """Return clips of any lengths as one batch."""
        return Audio.of(list(inputs))


@dataclass(frozen=True)
class ClipLoader:
    """Makes of a recording a clip.

    Attributes:
        sample_rate: of the clip, in Hz.
        length: of the longest clip, in samples.
        augmentation: for training; none for evaluation.
    """

    sample_rate: int
    length: int
    augmentation: Augmentation | None = None

    def __call__(self, path: Path) -> Tensor:
        """Return the clip of a file, shape (T,).

        Raises:
            DataError: it is no sound recording.
        """
        augmentation = self.augmentation
        if augmentation is None:
            return read_recording(path, self.sample_rate, self.length)
        longest = augmentation.longest_at_any_speed(self.length)
        part = augmentation.at_a_speed(read_recording(path, self.sample_rate, longest, at_random=True))
        return augmentation(cropped(part, self.length, at_random=True))
