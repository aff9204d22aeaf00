"""Recordings in files, opened with care."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import wavfile
from torch import Tensor
from torchaudio.transforms import Resample

from itnet_core import DataError

SUFFIXES = (".wav", ".flac", ".ogg")
"""Of the files that are taken for recordings; what they hold decides how they are decoded."""

WAV = (b"RIFF", b"RIFX", b"RF64")
COMPRESSED = {b"fLaC": "FLAC", b"OggS": "OGG"}
EXPECTED = "a whole recording, WAV, FLAC or OGG"


def read_recording(path: Path, sample_rate: int) -> Tensor:
    """Return a recording's samples at a sample rate, mixed down to mono, 1 being full scale; shape (T,).

    The contents decide on the format, whatever the suffix. WAV of 8 to 32 bits and of floats is read by SciPy; FLAC and
    OGG by soundfile, `pip install 'itnet-audio[compressed]'`.

    Raises:
        DataError: there is no such file, it is empty, truncated, or of no such format, or it holds no samples or some
            that are not finite.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        rate, channels = _wav(path) if start in WAV else _compressed(path, start)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(str(path), found="no such file", expected=EXPECTED) from None
    except Exception as error:  # a damaged file makes decoders raise anything, struct.error and KeyError among them
        found = f"a damaged or unreadable file ({str(error).rstrip('.') or type(error).__name__})"
        raise DataError(str(path), found=found, expected=EXPECTED, mend="Replace or remove it.") from error
    samples = torch.from_numpy(channels.astype(np.float32)).mean(1)
    if not len(samples):
        raise DataError(str(path), found="no samples", expected="at least one", mend="Replace or remove it.")
    if not samples.isfinite().all():
        raise DataError(str(path), found="samples that are NaN or infinite", expected="numbers, 1 being full scale")
    return samples if rate == sample_rate else _resample(rate, sample_rate)(samples)


def _wav(path: Path) -> tuple[int, NDArray[np.floating]]:
    """Return a WAV file's rate and its samples, shape (T, channels)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks that are no sound, which are passed over
        warnings.filterwarnings("error", "Reached EOF prematurely", wavfile.WavFileWarning)
        rate, samples = wavfile.read(path)
    if rate < 1:
        raise DataError(str(path), found=f"a sample rate of {rate} Hz", expected="at least 1 Hz")
    if samples.dtype.kind == "u":  # WAV's 8 bits alone have no sign
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":  # 24 bits come in the upper three bytes of 32
        samples = samples / -float(np.iinfo(samples.dtype).min)
    return rate, samples if samples.ndim == 2 else samples[:, None]


def _compressed(path: Path, start: bytes) -> tuple[int, NDArray[np.floating]]:
    if start not in COMPRESSED:
        found = "a file of no such format" if start else "an empty file"
        raise DataError(str(path), found=found, expected=EXPECTED, mend="Remove it, or convert it to WAV.")
    try:
        import soundfile
    except ImportError:
        raise DataError(
            str(path),
            found=f"{COMPRESSED[start]}, and soundfile is not installed",
            expected="WAV, which needs nothing else",
            mend="Run: pip install 'itnet-audio[compressed]'. Or convert it to WAV.",
        ) from None
    if start == b"OggS" and not _has_last_page(path.read_bytes()):  # soundfile would read what is there
        raise ValueError("its last page is missing or cut off")
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return rate, samples


def _has_last_page(ogg: bytes) -> bool:
    """Return whether an OGG stream's last page is whole and says that it is the last (RFC 3533, section 6)."""
    page = ogg[ogg.rfind(b"OggS") :]
    return len(page) > 27 and bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


@lru_cache(maxsize=16)
def _resample(rate: int, sample_rate: int) -> Resample:
    """Return torchaudio's band-limited interpolation; its filter is computed once."""
    return Resample(rate, sample_rate)
