from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from itnet_train.files import to_csv, to_json, write


def test_json_is_strict_and_on_one_line() -> None:
    text = to_json({"a": math.nan, "b": [math.inf, 1.5], "c": {"d": "é\n"}})
    assert json.loads(text, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5], "c": {"d": "é\n"}}
    assert "\n" not in text


def test_csv_keeps_numbers_whole() -> None:
    header, row = to_csv([{"a": 0.1 + 0.2, "b": 3}]).splitlines()
    assert header == "a,b"
    assert float(row.split(",")[0]) == 0.1 + 0.2


def test_a_write_replaces_the_file_and_leaves_no_part(tmp_path: Path) -> None:
    write(tmp_path / "file", "old")
    write(tmp_path / "file", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "new")]
