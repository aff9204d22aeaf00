"""Read recordings from files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from itnet_audio.data.resampling import Resampling
from itnet_audio.data.wav import FORMS, LINEAR, OTHERS, Wav
from itnet_core import DataError, open_regular
from itnet_tasks import as_array, unreadable
from itnet_tasks.stored import Content
from itnet_tasks.values import PLACE

SUFFIXES = (".wav", ".flac", ".ogg")
"""Suffixes of recordings; the content decides how a file is decoded."""

COMPRESSED = {b"fLaC": "FLAC", b"OggS": "OGG"}
EXPECTED = "a whole recording, WAV, FLAC or OGG"
LAST_PAGE = 27 + 255 + 255 * 255
"""Size of the longest page of an OGG file in bytes."""


class Sound(NamedTuple):
    """An open recording.

    Attributes:
        rate: in Hz.
        length: in samples.
        read: reads the samples from a start to a stop, shape (stop − start, channels).
    """

    rate: int
    length: int
    read: Callable[[int, int], NDArray[np.float32]]


def read_recording(
    source: Path | Content, sample_rate: int, length: int | None = None, *, at_random: bool = False
) -> Tensor:
    """Read a recording at a sample rate, mixed down to mono, with full scale at 1; shape (T,).

    The content decides the format, whatever the suffix. SciPy reads WAV of 8 to 32 bits and of floats; soundfile (`pip
    install 'itnet-audio[compressed]'`) reads WAV of other codings (mu-law, A-law, ADPCM), FLAC and OGG.

    Args:
        source: the file, or the content of one.
        sample_rate: in Hz.
        length: largest number of samples to return; only the part of the file that they depend on is read. By default
            the whole recording.
        at_random: take the samples from a random part of a longer recording instead of its middle.

    Raises:
        DataError: the file is missing, empty, truncated, or of another format, or contains no samples, or samples that
            are not finite.
    """
    with _open(source) as (sound, place):
        return _finite_part(sound, sample_rate, length, place, at_random=at_random)


def read_sound(sound: Sound, sample_rate: int, length: int) -> Tensor:
    """Return samples in memory at a sample rate, mixed down to mono, as `read_recording` returns those of a file.

    Raises:
        DataError: samples are not finite.
    """
    return _finite_part(sound, sample_rate, length, PLACE, at_random=False)


def sound_of(value: Any, sample_rate: int) -> Sound:
    """Return a user's samples in memory, with full scale at 1.

    Example:
        >>> sound_of({"array": [0.0, 0.5, 0.0], "sampling_rate": 8000}, sample_rate=16000).rate
        8000

    Args:
        value: samples (T,) or (T, channels), or a mapping of them as `array` and their rate as `sampling_rate`.
        sample_rate: of samples without their rate, in Hz.

    Raises:
        DataError: it is another value.
    """
    expected = "samples (T,) or (T, channels), or a mapping of them as array, and of sampling_rate"
    rate = sample_rate
    if isinstance(value, Mapping):
        if "array" not in value or not isinstance(rate := value.get("sampling_rate", sample_rate), int) or rate < 1:
            raise unreadable(value, expected)
        value = value["array"]
    samples = as_array(value, expected, ndim=(1, 2))
    if samples.dtype.kind != "f":
        hint = "Divide whole numbers by their full scale, such as 32768."
        raise DataError(PLACE, found=f"samples of {samples.dtype}", expected="floats, with full scale at 1", hint=hint)
    columns = samples.astype(np.float32).reshape(len(samples), -1)
    return Sound(rate, len(columns), lambda start, stop: columns[start:stop])


def recording_seconds(source: Path | Content) -> float:
    """Return the length of a recording in seconds, from its header.

    Raises:
        DataError: as for `read_recording`.
    """
    with _open(source) as (sound, _):
        return sound.length / sound.rate


def recording_rate(path: Path) -> int:
    """Return the sample rate of a recording in Hz, from its header.

    Raises:
        DataError: as for `read_recording`.
    """
    with _open(path) as (sound, _):
        return sound.rate


@contextmanager
def _open(source: Path | Content) -> Iterator[tuple[Sound, str]]:
    """Open a recording; yield it and its place."""
    place = source.place if isinstance(source, Content) else str(source)
    try:
        with BytesIO(source.data) if isinstance(source, Content) else open_regular(source) as file:
            yield _sound_in(file, place), place
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(place, found="no such file", expected=EXPECTED) from None
    except Exception as error:  # a damaged file makes decoders raise anything, struct.error and KeyError among them
        reason = getattr(error, "strerror", None) or str(error).rstrip(".") or type(error).__name__
        found = f"a damaged or unreadable file ({reason})"
        raise DataError(place, found=found, expected=EXPECTED, hint="Replace or remove it.") from error


def _finite_part(sound: Sound, sample_rate: int, length: int | None, place: str, *, at_random: bool) -> Tensor:
    samples = _part(sound, sample_rate, length, place, at_random=at_random)
    if not np.isfinite(samples).all():
        expected = "finite samples, with full scale at 1"
        raise DataError(place, found="samples that are NaN or infinite", expected=expected)
    return torch.from_numpy(samples)


def _part(sound: Sound, sample_rate: int, length: int | None, place: str, *, at_random: bool) -> NDArray[np.float32]:
    if not sound.length:
        raise DataError(place, found="no samples", expected="at least one", hint="Replace or remove it.")
    resampling = Resampling(sound.rate, sample_rate)
    whole = resampling.length(sound.length)
    length = whole if length is None else min(length, whole)
    start = int(torch.randint(whole - length + 1, ())) if at_random else (whole - length) // 2
    if sound.rate == sample_rate:
        return _mono(sound, start, start + length)
    first, last = resampling.needed(start, start + length)
    samples = _mono(sound, max(0, first), min(last, sound.length))
    return resampling(np.pad(samples, (max(0, -first), max(0, last - sound.length))), start, start + length)


def _mono(sound: Sound, start: int, stop: int) -> NDArray[np.float32]:
    samples = sound.read(start, stop)
    if len(samples) < stop - start:
        raise ValueError(f"{len(samples)} samples of {stop - start} from {start} on")
    return samples.mean(1)


def _sound_in(file: BinaryIO, place: str) -> Sound:
    kind = file.read(4)
    if kind in FORMS:
        wav = Wav.of(file)
        tag, rate, frame = wav.format
        if rate < 1:
            raise DataError(place, found=f"a sample rate of {rate} Hz", expected="at least 1 Hz")
        if tag in LINEAR:
            return Sound(rate, wav.size // frame, wav.read)
        return _by_soundfile(file, place, f"WAV in {OTHERS.get(tag, f'the format {tag}')}")
    if kind not in COMPRESSED:
        found = "a file of another format" if kind else "an empty file"
        raise DataError(place, found=found, expected=EXPECTED, hint="Remove it, or convert it to WAV.")
    sound = _by_soundfile(file, place, COMPRESSED[kind])
    if kind == b"OggS":  # soundfile reads truncated files without an error
        _check_last_page(file)
    elif sound.length:  # the end, which the crop of a long recording may not reach
        _mono(sound, sound.length - 1, sound.length)
    return sound


def _by_soundfile(file: BinaryIO, place: str, what: str) -> Sound:
    try:
        import soundfile
    except ImportError:
        raise DataError(
            place,
            found=f"{what}, and soundfile is not installed",
            expected="WAV of whole numbers or floats, which needs no extra package",
            hint="Run: pip install 'itnet-audio[compressed]'. Or convert it to WAV.",
        ) from None
    file.seek(0)
    opened: Any = soundfile.SoundFile(file)
    if opened.frames > 2**62:  # FLAC written to a pipe, in which soundfile cannot seek
        raise ValueError("its header has no number of samples: encode it again, to a file")

    def read(start: int, stop: int) -> NDArray[np.float32]:
        if opened.seekable():
            opened.seek(start)
        else:  # such as GSM, which is read once from its beginning
            opened.read(start, dtype="float32")
        return opened.read(stop - start, dtype="float32", always_2d=True)

    return Sound(opened.samplerate, opened.frames, read)


def _check_last_page(file: BinaryIO) -> None:
    """Refuse an OGG stream whose last page is cut off or not marked as the last (RFC 3533, section 6)."""
    file.seek(max(0, file.seek(0, 2) - LAST_PAGE))
    ogg = file.read()
    page = ogg[ogg.rfind(b"OggS") :]
    if len(page) <= 27 or not page[5] & 4 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
        raise ValueError("its last page is missing or cut off")
