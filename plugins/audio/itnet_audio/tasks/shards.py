"""Classification of recordings in WebDataset shards."""

from __future__ import annotations

from typing import Self

from itnet_audio.tasks.audio_classification import AudioClassification
from itnet_tasks.shard_files import ShardFiles


class AudioShards(ShardFiles, AudioClassification):
    """Recordings in WebDataset shards: tar files with a recording and a label of each sample, `7.flac` and `7.cls`.

    The shards are indexed at the start, and samples read by their offset. `train.shuffle_buffer` reads shard by shard;
    `train.bucket` reads each recording once at the start, for its length.

    Example:
        >>> import tarfile
        >>> from io import BytesIO
        >>> import numpy as np
        >>> from scipy.io import wavfile
        >>> def add(tar, name, content):
        ...     member = tarfile.TarInfo(name)
        ...     member.size = len(content)
        ...     tar.addfile(member, BytesIO(content))
        >>> with tarfile.open("words-0.tar", "w") as tar:
        ...     for number in range(10):
        ...         wavfile.write(file := BytesIO(), 16000, np.zeros(8000, np.int16))
        ...         add(tar, f"{number}.wav", file.getvalue())
        ...         add(tar, f"{number}.cls", b"no" if number % 2 else b"yes")
        >>> task = AudioShards(train="words-*.tar", sample_rate=8000)
        >>> task.classes, len(task.dataset("train")), task.dataset("test")[0].inputs.shape
        (('no', 'yes'), 6, torch.Size([4000]))
    """

    class Config(ShardFiles.Config, AudioClassification.Config):
        audio: str | None = None
        """Ending of the recordings' members, such as `flac` or `left.wav`; by default every ending of a recording."""

        def completed(self) -> Self:
            """Fill in `classes` from the shards, if they exist already."""
            return self.complete(AudioShards)
