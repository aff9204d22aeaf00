"""Picture files, opened with care."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from itnet_core import DataError

MODES = {1: "L", 3: "RGB"}


def open_picture(path: Path, channels: int) -> Image.Image:
    """Return a whole decoded picture, upright (EXIF), as grey (1 channel) or RGB (3).

    Transparency is laid over white; 16-bit grey is scaled to 8.

    Raises:
        DataError: there is no such file, it is empty, truncated, of no known format, or suspiciously large.
    """
    expected = "a picture that Pillow can decode"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                opened.load()
                return _as_mode(ImageOps.exif_transpose(opened), MODES[channels])
    except FileNotFoundError:
        raise DataError(str(path), found="no such file", expected=expected) from None
    except UnidentifiedImageError:
        found = "an empty file" if path.stat().st_size == 0 else "a file of no known picture format"
        raise DataError(str(path), found=found, expected=expected, mend="Remove it, or convert it to PNG.") from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        Image.DecompressionBombWarning,
        Image.DecompressionBombError,
    ) as e:
        raise DataError(
            str(path), found=str(e) or type(e).__name__, expected=expected, mend="Replace the file."
        ) from None


def _as_mode(picture: Image.Image, mode: str) -> Image.Image:
    if picture.mode.startswith("I"):  # 16-bit grey, which conversion would clip instead of scaling
        picture = picture.convert("I").point(lambda level: level / 256).convert("L")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert(mode)
