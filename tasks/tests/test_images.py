from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from itnet_core import DataError
from itnet_tasks.images import open_image


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_image_becomes_grey_or_colour(
    mode: str, channels: int, write_image: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_image(tmp_path / ("image.tif" if mode == "CMYK" else "image.png"), mode=mode)
    image = open_image(path, channels)
    assert image.mode == {1: "L", 3: "RGB"}[channels]
    assert image.size == (20, 16)
    assert np.asarray(image).std() > 10


@pytest.mark.parametrize(("suffix", "dtype"), [("png", "uint16"), ("tif", "uint16"), ("tif", "int32")])
def test_16_bits_are_scaled_and_not_clipped(suffix: str, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(np.array([[0, 25600, 65535]], dtype=dtype)).save(path)
    assert np.asarray(open_image(path, 1)).tolist() == [[0, 100, 255]]
    assert np.asarray(open_image(path, 3)).tolist() == [[[0] * 3, [100] * 3, [255] * 3]]


@pytest.mark.parametrize("levels", [np.array([[0.0, 1.5]], dtype=np.float32), np.array([[-1, 9]], dtype=np.int32)])
def test_numbers_that_are_no_levels_of_grey_are_refused(levels: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(levels).save(tmp_path / "image.tif")
    with pytest.raises(DataError, match=f"numbers from {levels.min()} to {levels.max()}"):
        open_image(tmp_path / "image.tif", 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (2, 2), 0).save(tmp_path / "image.png")
    assert np.asarray(open_image(tmp_path / "image.png", 3)).min() == 255


def test_a_transparent_colour_of_a_palette_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([0, 0, 0, 9, 9, 9])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "image.png", transparency=0)
    assert np.asarray(open_image(tmp_path / "image.png", 1)).tolist() == [[255, 9]]


def test_rotation_by_exif_is_done(write_image: Callable[..., Path], tmp_path: Path) -> None:
    """Orientation 6: what is stored left is shown at the top."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write_image(tmp_path / "image.png", exif=exif)
    shown = np.asarray(open_image(path, 3))
    with Image.open(path) as stored:
        np.testing.assert_array_equal(shown, np.rot90(np.asarray(stored), -1))


def test_the_contents_decide_on_the_format(write_image: Callable[..., Path], tmp_path: Path) -> None:
    path = write_image(tmp_path / "image.png").rename(tmp_path / "image.jpg")
    assert open_image(path, 3).size == (20, 16)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "truncated"),
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.write_text("not an image"), "a file of another format"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: (path.unlink(), path.mkdir()), "directory"),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_what_is_no_image_is_named(
    spoil: Callable[[Path], Any], message: str, suffix: str, write_image: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_image(tmp_path / f"image.{suffix}", size=(200, 160))
    spoil(path)
    with pytest.raises(DataError, match=message) as raised:
        open_image(path, 3)
    assert raised.value.place == str(path)


@pytest.mark.filterwarnings("ignore")  # Pillow's, on what it passes over
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "bmp", "webp", "ppm"])
def test_damage_is_a_data_error_or_goes_unseen_but_never_another_error(
    suffix: str, write_image: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_image(tmp_path / f"image.{suffix}")
    data, draw, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(draw.randint(1, 8)):
            damaged[draw.randrange(min(len(damaged), 200))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            assert open_image(path, 3).mode == "RGB"
        except DataError:
            refused += 1
    assert refused


def test_formats_that_outside_programs_would_run_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "image.eps")
    (tmp_path / "image.eps").rename(tmp_path / "image.png")
    with pytest.raises(DataError, match="a file of another format"):
        open_image(tmp_path / "image.png", 3)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (100, 100)).save(tmp_path / "image.png")
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 6000
    )  # more, but less than twice as many: only a warning of Pillow's
    with pytest.raises(DataError, match="10000 pixels"):
        open_image(tmp_path / "image.png", 1)


def test_the_filter_of_warnings_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one for all threads, which read images side by side."""
    Image.new("L", (4, 4)).save(tmp_path / "image.png")
    before, during = list(warnings.filters), []
    opened = Image.open
    monkeypatch.setattr(
        Image,
        "open",
        lambda *args, **options: during.append(list(warnings.filters)) or opened(*args, **options),  # type: ignore[func-returns-value]
    )
    open_image(tmp_path / "image.png", 1)
    assert during == [before]
