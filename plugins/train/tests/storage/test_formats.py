from __future__ import annotations

import json
import math

import pytest

from itnet_train.storage.formats import to_csv, to_json


def test_json_is_strict_and_on_one_line() -> None:
    text = to_json({"a": math.nan, "b": [math.inf, 1.5], "c": {"d": "é\n"}})
    assert json.loads(text, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5], "c": {"d": "é\n"}}
    assert "\n" not in text


def test_csv_keeps_numbers_whole() -> None:
    header, row = to_csv([{"a": 0.1 + 0.2, "b": 3}]).splitlines()
    assert header == "a,b"
    assert float(row.split(",")[0]) == 0.1 + 0.2
