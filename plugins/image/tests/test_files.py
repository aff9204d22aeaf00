from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from itnet_core import DataError
from itnet_image.files import open_picture


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_picture_becomes_grey_or_colour(mode: str, channels: int, write_picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = write_picture(tmp_path / ("picture.tif" if mode == "CMYK" else "picture.png"), mode=mode)
    picture = open_picture(path, channels)
    assert picture.mode == {1: "L", 3: "RGB"}[channels]
    assert picture.size == (20, 16)
    assert np.asarray(picture).std() > 10


def test_16_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 25600, 65535]], dtype=np.uint16)).save(tmp_path / "picture.png")
    assert np.asarray(open_picture(tmp_path / "picture.png", 1)).tolist() == [[0, 100, 255]]


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "picture.png")
    assert np.asarray(open_picture(tmp_path / "picture.png", 3)).min() == 255


def test_rotation_by_exif_is_done(write_picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_picture(write_picture(tmp_path / "picture.jpg", exif=exif), 3).size == (16, 20)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "truncated"),
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.write_text("not a picture"), "no known picture format"),
        (lambda path: path.unlink(), "no such file"),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_what_is_no_picture_is_named(spoil, message: str, suffix: str, write_picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = write_picture(tmp_path / f"picture.{suffix}", size=(200, 160))
    spoil(path)
    with pytest.raises(DataError, match=message) as raised:
        open_picture(path, 3)
    assert raised.value.place == str(path)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (100, 100)).save(tmp_path / "picture.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match="10000 pixels"):
        open_picture(tmp_path / "picture.png", 1)
