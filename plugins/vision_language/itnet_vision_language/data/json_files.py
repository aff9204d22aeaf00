"""Read text and JSON files, validated by pydantic."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from itnet_core import DataError
from itnet_tasks import read_data

T = TypeVar("T")


def read_text(path: Path, expected: str) -> str:
    """Read a UTF-8 text file.

    Raises:
        DataError: the file is missing, is not a regular file, or has another encoding.
    """
    content = read_data(path, expected, hint="Set root to where the data are.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"bytes that are not UTF-8, at {error.start}"
        raise DataError(str(path), found=found, expected=expected, hint="Convert it to UTF-8.") from None


def read_json(path: Path, layout: type[T], expected: str) -> T:
    """Read a JSON file of a known layout; other fields are dropped.

    Raises:
        DataError: the file is missing, in another encoding, not JSON, or of another layout. Such a file is refused even
            with `on_bad_sample: skip`, because it contains thousands of samples.
    """
    return _parse(read_text(path, expected), TypeAdapter(layout), str(path), expected)


def read_json_lines(path: Path, layout: type[T], expected: str) -> list[tuple[str, T]]:
    """Read each non-blank line of a file, with its place for errors.

    Raises:
        DataError: as for `read_json`.
    """
    adapter = TypeAdapter(layout)
    lines = [(f"{path}:{number}", line) for number, line in enumerate(read_text(path, expected).split("\n"), 1)]
    return [(place, _parse(line, adapter, place, expected)) for place, line in lines if line.strip()]


def check_text(text: str, place: str) -> str:
    """Return a text that is not empty.

    Raises:
        DataError: it is empty.
    """
    if not text.strip():
        raise DataError(place, found="an empty text", expected="some words")
    return text


def _parse(text: str, adapter: TypeAdapter[T], place: str, expected: str) -> T:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise DataError(place, found=f"no JSON ({first['msg']})", expected=expected) from None
        where = ".".join([place, *map(str, first["loc"])])
        found = "nothing" if first["type"] == "missing" else repr(first["input"])[:80]
        raise DataError(where, found=found, expected=f"{first['msg']} ({expected})") from None
