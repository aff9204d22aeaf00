"""Classification of recordings in the tables of Hugging Face datasets."""

from __future__ import annotations

from typing import Self

from itnet_audio.tasks.audio_classification import AudioClassification
from itnet_tasks.table_files import TableFiles


class AudioTable(TableFiles, AudioClassification):
    """Recordings in a column of tables: parquet files, Arrow files, or folders that `Dataset.save_to_disk` wrote.

    Tables are read by Hugging Face's `datasets`, as memory-mapped Arrow files with random access; from parquet, it
    writes those once to its own cache. No script and no decoder of a data set runs: the bytes of a recording are
    decoded as those of a file. `train.bucket` reads each recording once at the start, for its length.

    Example:
        >>> from io import BytesIO
        >>> import numpy as np
        >>> from datasets import ClassLabel, Dataset
        >>> from scipy.io import wavfile
        >>> wavfile.write(file := BytesIO(), 16000, np.zeros(8000, np.int16))
        >>> words = Dataset.from_dict({"audio": [{"bytes": file.getvalue()}] * 10, "label": [0, 1] * 5})
        >>> _ = words.cast_column("label", ClassLabel(names=["no", "yes"])).to_parquet("words.parquet")
        >>> task = AudioTable(train="words.parquet", sample_rate=8000)
        >>> task.classes, len(task.dataset("train")), task.dataset("test")[0].inputs.shape
        (('no', 'yes'), 6, torch.Size([4000]))
    """

    class Config(TableFiles.Config, AudioClassification.Config):
        audio: str = "audio"
        """Column of the recordings: their bytes, or mappings with a field `bytes`."""

        def completed(self) -> Self:
            """Fill in `classes` from the tables, if they exist already."""
            return self.complete(AudioTable)
