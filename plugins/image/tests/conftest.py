from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

WritePicture = Callable[..., Path]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def write_picture() -> WritePicture:
    """Write a picture of random pixels to a file, whose suffix says the format."""
    random = np.random.default_rng(0)

    def write(path: Path, size: tuple[int, int] = (20, 16), mode: str = "RGB", **options: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode == "P":
            write(path.with_suffix(".tmp.png"), size)
            Image.open(path.with_suffix(".tmp.png")).quantize(16).save(path, **options)
            return path
        bands = len(Image.new(mode, (1, 1)).getbands())
        if mode == "I;16":
            pixels = random.integers(0, 2**16, size[::-1], dtype=np.uint16)
            picture = Image.fromarray(pixels)
        else:
            shape = size[::-1] if bands == 1 else (*size[::-1], bands)
            picture = Image.frombytes(mode, size, random.integers(0, 256, shape, dtype=np.uint8).tobytes())
        picture.save(path, **options)
        return path

    return write
