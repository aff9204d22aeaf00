from __future__ import annotations

import struct
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from itnet_audio.data.recordings import read_recording
from itnet_core import DataError

TONE = 0.5 * np.sin(2 * np.pi * 300 * np.arange(2000) / 8000)


def write(path: Path, bits: int | str, samples: Any = TONE, rate: int = 8000) -> Path:
    """Write samples in [−1, 1] as whole numbers of so many bits, or as floats."""
    if isinstance(bits, str):
        wavfile.write(path, rate, samples.astype(bits))
    elif bits == 24:
        numbers = np.round(samples * (2**23 - 1)).astype("<i4")
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 3, rate, len(numbers), "NONE", ""))
            file.writeframes(numbers.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
    elif bits == 8:
        wavfile.write(path, rate, np.round(samples * 127 + 128).astype(np.uint8))
    else:
        wavfile.write(path, rate, np.round(samples * (2 ** (bits - 1) - 1)).astype(f"int{bits}"))
    return path


@pytest.mark.parametrize("bits", [8, 16, 24, 32, "float32", "float64"])
def test_every_kind_of_sample_is_brought_to_full_scale_1(bits: int | str, tmp_path: Path) -> None:
    samples = read_recording(write(tmp_path / "a.wav", bits), 8000)
    assert samples.dtype == torch.float32
    torch.testing.assert_close(samples, torch.from_numpy(TONE).float(), rtol=0, atol=1e-2 if bits == 8 else 1e-4)


def test_stereo_is_mixed_down(tmp_path: Path) -> None:
    samples = read_recording(write(tmp_path / "a.wav", "float32", np.stack([TONE, 0.2 * TONE], 1)), 8000)
    torch.testing.assert_close(samples, torch.from_numpy(0.6 * TONE).float())


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 44100])
def test_recordings_are_resampled(rate: int, tmp_path: Path) -> None:
    """A tone stays the tone that it is, and a second a second."""
    tone = 0.5 * np.sin(2 * np.pi * 300 * np.arange(rate) / rate)
    samples = read_recording(write(tmp_path / "a.wav", 16, tone, rate), 8000)
    assert len(samples) == 8000
    expected = 0.5 * torch.sin(2 * torch.pi * 300 * torch.arange(8000) / 8000)
    torch.testing.assert_close(samples[200:-200], expected[200:-200], rtol=0, atol=2e-2)


def test_silence_is_a_recording(tmp_path: Path) -> None:
    assert not read_recording(write(tmp_path / "a.wav", 16, np.zeros(100)), 8000).any()


def test_the_contents_decide_whatever_the_suffix_says(tmp_path: Path) -> None:
    assert len(read_recording(write(tmp_path / "a.flac", 16), 8000)) == 2000


def test_chunks_that_are_no_sound_are_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 16)
    riff = path.read_bytes()
    more = b"cue " + struct.pack("<I", 4) + bytes(4)
    path.write_bytes(riff[:4] + struct.pack("<I", len(riff) - 8 + len(more)) + riff[8:] + more)
    assert len(read_recording(path, 8000)) == 2000


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (lambda wav: b"", "found an empty file"),
        (lambda wav: b"no sound at all", "found a file of another format; expected a whole recording"),
        (lambda wav: b"\x89PNG\r\n\x1a\n", "found a file of another format"),
        (lambda wav: wav[:30], "found a damaged or unreadable file"),
        (lambda wav: wav[:44], "found a damaged or unreadable file"),
        (lambda wav: wav[:1001], "found a damaged or unreadable file"),
        (lambda wav: wav[:1000], r"found a damaged or unreadable file \(Reached EOF prematurely; finished at 1000"),
        (lambda wav: wav[:20] + b"\x34\x12" + wav[22:], "found a damaged or unreadable file"),
        (lambda wav: wav[:24] + bytes(4) + wav[28:], "found a"),
    ],
    ids=["empty", "text", "image", "header", "no samples", "odd", "even", "coding", "rate 0"],
)
def test_what_is_no_sound_recording_is_refused_by_name(contents: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 16)
    path.write_bytes(contents(path.read_bytes()))
    with pytest.raises(DataError, match=f"a.wav: {message}"):
        read_recording(path, 8000)


def test_no_file_no_samples_and_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere.wav: found no such file"):
        read_recording(tmp_path / "nowhere.wav", 8000)
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(DataError, match=r"folder.wav: found a damaged or unreadable file \(.*[Dd]irectory"):
        read_recording(tmp_path / "folder.wav", 8000)
    with pytest.raises(DataError, match="a.wav: found no samples"):
        read_recording(write(tmp_path / "a.wav", 16, TONE[:0]), 8000)
    with pytest.raises(DataError, match="a.wav: found samples that are NaN or infinite"):
        read_recording(write(tmp_path / "a.wav", "float32", TONE + np.inf), 8000)


@pytest.mark.parametrize(("start", "name"), [(b"fLaC", "FLAC"), (b"OggS", "OGG")])
def test_without_soundfile_the_error_says_what_to_install(
    start: bytes, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.flac").write_bytes(start + bytes(100))
    with pytest.raises(DataError, match=rf"found {name}, and soundfile is not installed.*itnet-audio\[compressed\]"):
        read_recording(tmp_path / "a.flac", 8000)


@pytest.mark.parametrize("suffix", [".flac", ".ogg"])
def test_compressed_recordings_are_read_by_soundfile(suffix: str, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    path, tone = tmp_path / f"a{suffix}", np.tile(TONE, 10)
    soundfile.write(path, np.stack([tone, tone], 1), 8000)
    samples = read_recording(path, 8000)
    torch.testing.assert_close(samples, torch.from_numpy(tone).float(), rtol=0, atol=5e-2)
    whole = path.read_bytes()
    last_page = whole.rfind(b"OggS")  # of an OGG file, which without it is a whole number of pages
    for length in (30, len(whole) // 2, last_page, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=f"a{suffix}: found a damaged or unreadable file"):
            read_recording(path, 8000)
