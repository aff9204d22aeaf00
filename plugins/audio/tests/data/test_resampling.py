from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from torchaudio.functional import resample

from itnet_audio.data.augmentation import ClipAugmentation
from itnet_audio.data.recordings import read_recording
from itnet_audio.data.resampling import Resampling, resample_clip
from itnet_audio.tasks.audio_classification import ClipLoader

PAIRS = [(441, 160), (3, 1), (1, 2), (11025, 8000), (10, 11), (113, 97), (1103, 1601)]


@contextmanager
def limit_memory(megabytes: float) -> Iterator[None]:
    """Refuse more memory for arrays at a time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 2**20


@pytest.mark.parametrize(("rate", "sample_rate"), PAIRS)
@pytest.mark.parametrize("length", [1, 5, 1000])
def test_resampling_is_torchaudios(length: int, rate: int, sample_rate: int) -> None:
    """Which computes the phases of its filter in single precision."""
    samples = torch.randn(length)
    ours = torch.from_numpy(resample_clip(samples.numpy(), rate, sample_rate))
    torch.testing.assert_close(ours, resample(samples, rate, sample_rate), rtol=0, atol=5e-4)


@pytest.mark.parametrize(("rate", "sample_rate"), PAIRS)
def test_a_part_is_that_of_the_whole(rate: int, sample_rate: int) -> None:
    samples = np.random.default_rng(0).standard_normal(500).astype(np.float32)
    resampling, whole = Resampling(rate, sample_rate), resample_clip(samples, rate, sample_rate)
    assert len(whole) == math.ceil(500 * sample_rate / rate)
    for start, stop in ((0, len(whole)), (len(whole) // 3, len(whole) // 2), (len(whole) - 1, len(whole))):
        first, last = resampling.needed(start, stop)
        needed = np.pad(samples, 10_000)[10_000 + first : 10_000 + last]
        np.testing.assert_allclose(resampling(needed, start, stop), whole[start:stop], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("rate", "megabytes"), [(11127, 1), (44101, 1), (1, 24), (96_000_001, 24)])
def test_rates_with_no_common_factor_take_no_more_than_the_clip(rate: int, megabytes: float, tmp_path: Path) -> None:
    """torchaudio's filter for 44,101 Hz takes 12 GB, and a recording at 1 Hz becomes 16,000 times longer."""
    wavfile.write(tmp_path / "a.wav", rate, np.ones(400, np.int16))
    with limit_memory(megabytes):
        clip = ClipLoader(16000, 64000)(tmp_path / "a.wav")
    assert len(clip) == min(64000, math.ceil(400 * 16000 / rate))
    assert clip.isfinite().all()


def test_of_a_long_recording_only_the_clip_is_read(tmp_path: Path) -> None:
    """Silence of 20 minutes is a small FLAC file, and 77 MB once decoded."""
    soundfile = pytest.importorskip("soundfile")
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 44100, 1) as file:
        for _ in range(600):
            file.write(np.zeros(88200, np.int16))
    augmentation = ClipAugmentation(16000, (0.9, 1.1), 0.1, 6.0, 1.0, (10.0, 40.0), [tmp_path / "a.flac"])
    assert (tmp_path / "a.flac").stat().st_size < 2**19
    for loader in (ClipLoader(16000, 16000), ClipLoader(16000, 16000, augmentation)):
        with limit_memory(4):
            assert len(loader(tmp_path / "a.flac")) == 16000


@pytest.mark.parametrize("speed", [0.5, 0.9, 1.1, 1.00007, 1.7])
def test_a_clip_of_a_long_recording_has_its_length_at_any_speed(speed: float, tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 8000, np.ones(4000, np.int16))
    augmentation = ClipAugmentation(8000, (speed,), 0.0, 0.0, 0.0, (10.0, 40.0))
    assert len(ClipLoader(8000, 1000, augmentation)(tmp_path / "a.wav")) == 1000


def test_a_part_at_random_is_any_part(tmp_path: Path) -> None:
    samples = np.arange(2, 1002, dtype=np.int16)
    wavfile.write(tmp_path / "a.wav", 8000, samples)
    parts = [read_recording(tmp_path / "a.wav", 8000, 998, at_random=True) for _ in range(60)]
    starts = {round(part[0].item() * 2**15) - 2 for part in parts}
    assert starts == {0, 1, 2}
    assert all(torch.equal(part.diff(), torch.full((997,), 2**-15)) for part in parts)
