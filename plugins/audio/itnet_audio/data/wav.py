"""Read any part of a WAV file, whatever sizes its header announces."""

from __future__ import annotations

import io
import os
import struct
import warnings
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

FORMS = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<"}
"""First four bytes of a WAV file, and the byte order that they imply."""

LINEAR = (1, 3)
"""Format tags of whole numbers and of floats."""

OTHERS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "ADPCM"}
"""Names of some other format tags, for errors."""

UNKNOWN = 0x7FFF0000
"""Smallest size that may mean "unknown". Writing to a pipe, sox announces 0x7FFFF000 rounded down to a whole frame,
arecord 0x80000000, and ffmpeg 0xFFFFFFFF."""


class Format(NamedTuple):
    """Content of the chunk `fmt `.

    Attributes:
        tag: coding of the samples; for the extensible format, the tag in its GUID.
        rate: in Hz.
        frame: size of one sample of all channels in bytes.
    """

    tag: int
    rate: int
    frame: int


@dataclass(frozen=True)
class Wav:
    """Location and format of the samples in an open WAV file.

    Attributes:
        file: the open file.
        order: byte order, as `struct` writes it.
        head: the whole chunk `fmt `.
        start: offset of the samples in the file, in bytes.
        size: size of the samples in bytes.
    """

    file: BinaryIO
    order: str
    head: bytes
    start: int
    size: int

    @classmethod
    def of(cls, file: BinaryIO) -> Wav:
        """Find the samples. The file size in the header is ignored, because many programs write a wrong one.

        Raises:
            ValueError: the file is not WAV, has no samples, or is cut off.
            struct.error: a chunk is too short.
        """
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        form, _, kind = struct.unpack("4s4s4s", file.read(12))
        if kind != b"WAVE":
            raise ValueError(f"the form type {kind!r}, not WAVE")
        order, head, long_size = FORMS[form], b"", None
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack(f"{order}4sI", header)
            start = file.tell()
            if name == b"ds64":
                long_size = struct.unpack("<8xQ", file.read(16))[0]
            elif name == b"fmt ":
                head = header + file.read(size)
            elif name == b"data":
                if size == 0xFFFFFFFF and long_size is not None:
                    size = long_size
                if start + size > end and size < UNKNOWN:
                    raise ValueError(
                        f"Reached EOF prematurely; finished at {end} bytes, expected {start + size} bytes from header"
                    )
                return cls(file, order, head, start, min(size, end - start))
            file.seek(start + size + size % 2)
        raise ValueError("no chunk of samples")

    @property
    def format(self) -> Format:
        """Coding of the samples."""
        tag, _, rate, _, frame = struct.unpack(f"{self.order}HHIIH", self.head[8:22])
        return Format(struct.unpack(f"{self.order}H", self.head[32:34])[0] if tag == 0xFFFE else tag, rate, frame)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Read samples (stop − start, channels) of linear coding, with full scale at 1."""
        frame = self.format.frame
        self.file.seek(self.start + start * frame)
        data = self.file.read((stop - start) * frame)
        size = struct.pack(f"{self.order}I", len(data))
        chunks = b"WAVE" + self.head + b"\0" * (len(self.head) % 2) + b"data" + size + data
        form = b"RIFF" if self.order == "<" else b"RIFX"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            _, samples = wavfile.read(io.BytesIO(form + struct.pack(f"{self.order}I", len(chunks)) + chunks))
        if samples.dtype.kind == "u":  # WAV's 8 bits alone have no sign
            samples = (samples.astype(np.float32) - 128) / 128
        elif samples.dtype.kind == "i":  # 24 bits come in the upper three bytes of 32
            samples = samples / -float(np.iinfo(samples.dtype).min)
        return samples.astype(np.float32).reshape(stop - start, -1)
