from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

import pytest

from itnet_series.data.cells import convert, number, time


@pytest.mark.parametrize("cell", ["", "?", " NaN", "NA", "null", None, math.nan])
def test_a_missing_value_is_nan(cell: Any) -> None:
    assert math.isnan(number(cell))


@pytest.mark.parametrize(("cell", "value"), [("1.5", 1.5), (" -2e3 ", -2000), (7, 7), (True, 1)])
def test_numbers_are_read(cell: Any, value: float) -> None:
    assert number(cell) == value


@pytest.mark.parametrize("cell", ["one", "inf", "1e39", "1,5", float("-inf"), 10**400, [1]])
def test_what_is_no_finite_number_is_listed(cell: Any) -> None:
    values, bad = convert([1, cell], number)
    assert values[0] == 1
    assert math.isnan(values[1])
    assert bad == {1: f"{cell!r:.60}"}


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("3.5", 3.5),
        ("1970-01-02", 86400),
        ("1970-02", 31 * 86400),
        ("1970-01-01 00:01:00.5", 60.5),
        ("1970-01-01T02:00:00+01:00", 3600),
        ("1970-01-01T00:00:07Z", 7),
        (date(1970, 1, 2), 86400),
        (datetime(1970, 1, 1, 1), 3600),
    ],
)
def test_times_are_numbers_or_seconds_of_dates(cell: Any, seconds: float) -> None:
    assert time(cell) == seconds


@pytest.mark.parametrize("cell", ["", None, "Monday", "1970-13", "inf", math.nan, [1]])
def test_what_is_no_time_is_listed(cell: Any) -> None:
    assert convert([0, cell], time)[1] == {1: f"{cell!r:.60}"}
