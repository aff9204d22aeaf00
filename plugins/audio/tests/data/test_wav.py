from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from itnet_audio.data.recordings import read_recording
from itnet_core import DataError

RATE = 16000
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(1600) / RATE)).astype(np.float32)
PCM = (TONE * 32767).astype("<i2").tobytes()


def chunk(name: bytes, data: bytes, size: int | None = None, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(data) if size is None else size) + data + b"\0" * (len(data) % 2)


def fmt(tag: int = 1, channels: int = 1, bits: int = 16, order: str = "<") -> bytes:
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack(f"{order}HHIIHH", tag, channels, RATE, RATE * frame, frame, bits), order=order)


def wav(*chunks: bytes, riff: int | None = None, form: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return form + struct.pack(">I" if form == b"RIFX" else "<I", len(body) if riff is None else riff) + body


def extensible(tag: int, bits: int) -> bytes:
    head = fmt(0xFFFE, bits=bits)[8:]
    guid = struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
    return chunk(b"fmt ", head + struct.pack("<HHI", 22, bits, 4) + guid)


def ds64(size: int) -> bytes:
    return chunk(b"ds64", struct.pack("<QQQI", size + 72, size, size // 2, 0))


LIST = chunk(b"LIST", b"INFOISFT\x0e\0\0\0Lavf60.3.100\0\0")
WHOLE = {
    "plain": wav(fmt(), chunk(b"data", PCM)),
    "ffmpeg to a pipe": wav(fmt(), LIST, chunk(b"data", PCM, 0xFFFFFFFF), riff=0xFFFFFFFF),
    "sox to a pipe": wav(fmt(), chunk(b"data", PCM, 0x7FFFF000), riff=0x7FFFF024),
    "arecord to a pipe": wav(fmt(), chunk(b"data", PCM, 0x80000000), riff=0x80000024),
    "a size one byte short of all": wav(fmt(), chunk(b"data", PCM, 0xFFFFFFFF - 36), riff=0xFFFFFFFF),
    "a whole that is too large": wav(fmt(), chunk(b"data", PCM), riff=len(PCM) + 44),
    "a whole that is too small": wav(fmt(), chunk(b"data", PCM), riff=100),
    "a whole of nothing": wav(fmt(), chunk(b"data", PCM), riff=0),
    "chunks all around": wav(chunk(b"JUNK", bytes(28)), fmt(), chunk(b"id3 ", b"ID3xxx1"), chunk(b"data", PCM), LIST),
    "a last chunk that is cut off": wav(fmt(), chunk(b"data", PCM), LIST)[:-9],
    "big endian": wav(
        fmt(order=">"), chunk(b"data", np.frombuffer(PCM, "<i2").astype(">i2").tobytes(), order=">"), form=b"RIFX"
    ),
    "RF64": wav(ds64(len(PCM)), fmt(), chunk(b"data", PCM, 0xFFFFFFFF), riff=0xFFFFFFFF, form=b"RF64"),
    "extensible": wav(extensible(1, 16), chunk(b"data", PCM)),
    "extensible floats": wav(extensible(3, 32), chunk(b"data", TONE.tobytes())),
    "stereo to a pipe": wav(fmt(channels=2), chunk(b"data", np.repeat(np.frombuffer(PCM, "<i2"), 2).tobytes(), 2**31)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_samples_are_read_whatever_the_sizes_say(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(WHOLE[name])
    whole = read_recording(tmp_path / "a.wav", RATE)
    torch.testing.assert_close(whole, torch.from_numpy(TONE), rtol=0, atol=1e-4)
    torch.testing.assert_close(read_recording(tmp_path / "a.wav", RATE, 300), whole[650:950], rtol=0, atol=0)


@pytest.mark.parametrize(
    "data",
    [
        wav(fmt(), chunk(b"data", PCM))[:2000],
        wav(fmt(), chunk(b"data", PCM), riff=0)[:-2],
        wav(fmt(), chunk(b"data", PCM, 0x40000000)),
        wav(ds64(len(PCM)), fmt(), chunk(b"data", PCM, 0xFFFFFFFF), form=b"RF64")[:-1],
        wav(fmt(7, bits=8), chunk(b"data", bytes(1000)))[:-2],
    ],
    ids=["plain", "no whole", "a gigabyte", "RF64", "mu-law"],
)
def test_samples_that_are_cut_off_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(DataError, match="Reached EOF prematurely"):
        read_recording(tmp_path / "a.wav", RATE, 10)


def test_no_samples_are_named_so(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(fmt(), chunk(b"data", b""), riff=0))
    with pytest.raises(DataError, match="found no samples"):
        read_recording(tmp_path / "a.wav", RATE)


@pytest.mark.parametrize("coding", ["ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610", "PCM_U8", "PCM_24", "DOUBLE"])
def test_every_coding_is_read_as_soundfile_reads_it(coding: str, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path / "a.wav"
    soundfile.write(path, TONE, RATE, subtype=coding)
    expected = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
    torch.testing.assert_close(read_recording(path, RATE), expected)
    start = (len(expected) - 500) // 2
    torch.testing.assert_close(read_recording(path, RATE, 500), expected[start : start + 500])


@pytest.mark.parametrize(("tag", "name"), [(7, "WAV in mu-law"), (17, "WAV in ADPCM"), (49, "WAV in the format 49")])
def test_other_codings_say_that_they_need_soundfile(
    tag: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.wav").write_bytes(wav(fmt(tag, bits=8), chunk(b"data", bytes(100))))
    with pytest.raises(DataError, match=rf"found {name}, and soundfile is not installed.*itnet-audio\[compressed\]"):
        read_recording(tmp_path / "a.wav", RATE)


def test_a_flac_of_unknown_length_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """A program that writes to a pipe leaves the number at 0, and soundfile cannot find its way in such a file."""
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.flac", TONE, RATE)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.raises(DataError, match="its header has no number of samples: encode it again, to a file"):
        read_recording(tmp_path / "a.flac", RATE)
