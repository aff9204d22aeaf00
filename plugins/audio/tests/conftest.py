from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

WriteRecording = Callable[..., Path]


@pytest.fixture
def write_recording() -> WriteRecording:
    """Write a WAV file of 16-bit noise."""
    random = np.random.default_rng(0)

    def write(path: Path, samples: int = 1000, rate: int = 8000) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(path, rate, (3000 * random.standard_normal(samples)).astype(np.int16))
        return path

    return write
