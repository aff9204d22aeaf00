from __future__ import annotations

from pathlib import Path

import pytest

from itnet_core import DataError
from itnet_vision_language.data.json_files import read_json, read_json_lines


def test_what_fits_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('\ufeff[["é", 1]]', encoding="utf-8")
    assert read_json(path, list[tuple[str, int]], "pairs") == [("é", 1)]
    path.write_text("[1]\n\n[2, 3]\n")
    assert read_json_lines(path, list[int], "numbers") == [(f"{path}:1", [1]), (f"{path}:3", [2, 3])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "a.json: found no such file; expected pairs. Set root"),
        (b"", "found no JSON .*; expected pairs"),
        (b'[["a", 1], ["b"', "found no JSON .*EOF"),
        ('[["é", 1]]'.encode("latin-1"), "found bytes that are not UTF-8, at 3; expected pairs. Convert it"),
        (b'[["a", 1], ["b", "x"]]', r"a.json.1.1: found 'x'; expected Input should be a valid integer.*\(pairs\)"),
        (b'[["a"]]', r"a.json.0.1: found nothing; expected Field required"),
    ],
)
def test_what_does_not_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_json(path, list[tuple[str, int]], "pairs")


def test_a_broken_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(DataError, match="a.json:2: found no JSON"):
        read_json_lines(path, dict[str, int], "numbers")
