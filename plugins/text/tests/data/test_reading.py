from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from itnet_core import DataError
from itnet_text.data.reading import text_loader


@pytest.mark.parametrize("content", ["\ufeff a fine\nfilm\n", "a fine\nfilm"])
def test_a_file_is_a_text(content: str, write: Callable[..., Path]) -> None:
    assert text_loader(pair=False)(write("a.txt", content)) == "a fine\nfilm"


@pytest.mark.parametrize("content", ["fine\nfilm\n", "\n fine\n\nfilm ", b"fine\r\nfilm\r\n"])
def test_two_lines_are_a_pair(content: Any, write: Callable[..., Path]) -> None:
    assert text_loader(pair=True)(write("a.txt", content)) == ("fine", "film")


def test_a_file_is_in_its_encoding(write: Callable[..., Path]) -> None:
    assert text_loader(pair=False, encoding="latin-1")(write("a.txt", b"sch\xf6n")) == "schön"


@pytest.mark.parametrize(
    ("pair", "content", "message"),
    [
        (False, "  \n", "a.txt: found an empty text"),
        (True, "one\n", "a.txt: found 1 lines with text; expected two texts, one a line"),
        (True, "one\ntwo\nthree\n", "a.txt: found 3 lines with text"),
        (False, b"\xff\xfe", "a.txt, line 1: found bytes that are not utf-8"),
    ],
)
def test_other_files_are_refused_by_name(pair: bool, content: Any, message: str, write: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=message):
        text_loader(pair=pair)(write("a.txt", content))
