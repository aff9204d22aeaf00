"""Classification of your own recordings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from itnet_audio.data.recordings import recording_rate, recording_seconds
from itnet_audio.tasks.audio_classification import AudioClassification
from itnet_core import DataError
from itnet_tasks import FolderClassification
from itnet_tasks.folder import training_folder


class AudioFolder(FolderClassification, AudioClassification):
    """Recordings of any length in one folder per class; see `FolderClassification` for the layouts.

    A file whose suffix is not that of a recording is skipped with a warning. A file with the suffix of a recording that
    is not a recording is a bad sample.

    Example:
        >>> import numpy as np
        >>> from scipy.io import wavfile
        >>> for name in ("no", "yes"):
        ...     Path("words", name).mkdir(parents=True)
        ...     for i in range(5):
        ...         wavfile.write(f"words/{name}/{i}.wav", 16000, np.zeros(8000, np.int16))
        >>> task = AudioFolder(root="words", sample_rate=8000)
        >>> task.classes, len(task.dataset("train")), task.dataset("test")[0].inputs.shape
        (('no', 'yes'), 6, torch.Size([4000]))
    """

    class Config(FolderClassification.Config, AudioClassification.Config):
        group_by: Literal["name"] | None = None
        """`name` keeps files in the same split if their paths below the class folders, without suffix, are equal: the
        same sentence by several speakers, or the same prompt in several languages."""

    kind = "recordings"

    @classmethod
    def propose(cls, files: Sequence[Path]) -> tuple[str, Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]]:
        """Return the lengths and the sample rate, and clips as long as most recordings, or shorter."""
        seconds, rates = [], []
        for file in files:
            with suppress(DataError):
                seconds.append(recording_seconds(file))
                rates.append(recording_rate(file))
        if not seconds:
            return "", ()
        rate, longest = min(16000, max(set(rates), key=rates.count)), sorted(seconds)[int(0.95 * (len(seconds) - 1))]
        wanted = max(0.1, math.ceil(10 * longest) / 10)
        lengths = [length for length in (10.0, 4.0, 2.0) if length < wanted]
        lengths = [wanted, *lengths] if wanted <= 10 else lengths
        model = {"preset": "itnet-audio/audio-nano"}
        configs = [(model, {"sample_rate": rate, "max_seconds": length}) for length in lengths]
        return f", of {min(seconds):.1f} to {max(seconds):.1f} s at {max(set(rates), key=rates.count):,} Hz", configs

    def groups(self, files: Sequence[Path]) -> Sequence[str] | None:
        """Return the files' paths below their class folders, without suffix; `None` without `group_by`."""
        if self.config.group_by is None:
            return None
        training = training_folder(self.config.root)
        return ["/".join(file.relative_to(training).with_suffix("").parts[1:]) for file in files]
