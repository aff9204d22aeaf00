"""Classification of your own recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from itnet_audio.tasks.audio_classification import AudioClassification
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

    def groups(self, files: Sequence[Path]) -> Sequence[str] | None:
        """Return the files' paths below their class folders, without suffix; `None` without `group_by`."""
        if self.config.group_by is None:
            return None
        training = training_folder(self.config.root)
        return ["/".join(file.relative_to(training).with_suffix("").parts[1:]) for file in files]
