from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from itnet_audio.clips import Audio
from itnet_core import Encoder

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


@pytest.fixture(scope="session")
def assert_padding_changes_nothing() -> Callable[[Encoder, list[int], int], None]:
    """Compare the fields of random clips alone and in a batch with `more` samples of padding.

    They agree at the points of positive weight; those of a batch that a clip does not have weigh 0.
    """

    def compare(encoder: Encoder, lengths: list[int], more: int) -> None:
        clips = [torch.randn(length, dtype=torch.float64) for length in lengths]
        waveform, counts = Audio.of([*clips, torch.zeros(max(lengths) + more, dtype=torch.float64)])
        within = torch.arange(waveform.shape[1]) < counts.unsqueeze(1)
        batch = encoder(Audio(torch.where(within, waveform, torch.randn_like(waveform)), counts))
        for i, clip in enumerate(clips):
            alone = encoder(Audio.of([clip]))
            points = alone.values.shape[1]
            assert (alone.weights > 0).all()
            assert not batch.weights[i, points:].any()
            torch.testing.assert_close(batch.weights[i, :points], alone.weights[0])
            torch.testing.assert_close(batch.positions[i, :points], alone.positions[0])
            torch.testing.assert_close(batch.values[i, :points], alone.values[0], rtol=1e-9, atol=1e-9)

    return compare
