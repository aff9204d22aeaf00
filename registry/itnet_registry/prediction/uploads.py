"""Values that came over a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from itnet_core import DataError


def uploaded_value(files: Sequence[Path], text: str) -> Any:
    """Return what `Task.read` reads: a file, a text, or a mapping of `image` or `images` and `text` for both.

    Example:
        >>> uploaded_value([Path("1.png")], "is it red?")
        {'image': ...Path('1.png'), 'text': 'is it red?'}

    Args:
        files: the uploaded files, each alone in a folder of its own or with the others.
        text: the text; "" for none.

    Raises:
        DataError: there is neither a file nor a text, or there are several files without a text.
    """
    if text.strip() and not files:
        return text
    if text.strip():
        images = {"image": files[0]} if len(files) == 1 else {"images": files}
        return {**images, "text": text}
    if len(files) != 1:
        raise DataError("upload", found=f"{len(files)} files" if files else "nothing", expected="a file or a text")
    return files[0]
