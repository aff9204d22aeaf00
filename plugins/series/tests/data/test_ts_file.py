from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from itnet_core import DataError
from itnet_series.data.ts_file import read_ts

HEAD = ("# about: it", "@problemName x", "@timeStamps false", "@univariate false", "@classLabel true up Down", "@data")


def test_dimensions_classes_lengths_and_missing_values(write: Any) -> None:
    file = read_ts(write("a.ts", *HEAD, "1,2,3:4,?,6:up", "# between", "", "5:6:Down", "7,8,NaN:9,?,?:up"))
    assert file.channels == ("0", "1")
    assert file.classes == ("up", "Down")
    assert [one.label for one in file.series] == ["up", "Down", "up"]
    assert file.series[0].values[[0, 2]].tolist() == [[1, 4], [3, 6]]
    assert file.series[0].values[1].isnan().tolist() == [False, True]
    assert [len(one.times) for one in file.series] == [3, 1, 2]  # without the missing end of the last
    assert not any(one.fault for one in file.series)


def test_numbers_as_labels_and_no_labels(write: Any) -> None:
    file = read_ts(write("a.ts", "@univariate true", "@targetLabel true", "@data", "1,2:0.5"))
    assert (file.classes, file.series[0].label, len(file.channels)) == (None, "0.5", 1)
    assert read_ts(write("b.ts", "@data", "1,2:3,4")).series[0].values.tolist() == [[1, 3], [2, 4]]


def test_time_stamps_join_dimensions(write: Any) -> None:
    lines = "@timeStamps true", "@classLabel true a", "@data", "(0,1),(2,3):(2,5),(3,6):a"
    [one] = read_ts(write("a.ts", *lines)).series
    assert one.times.tolist() == [0, 2, 3]
    assert one.values.nan_to_num(-1).tolist() == [[1, -1], [3, 5], [-1, 6]]
    dated = read_ts(write("b.ts", *lines[:3], "(2007-01-01 00:00:00,1),(2007-01-01 00:01:00,?):a")).series[0]
    assert dated.label == "a"
    assert dated.values.tolist() == [[1]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1,2:3,4:up", "1,2:up"], "line 8: found 1 dimensions; expected 2, and a label"),
        (["1,2:3,x:up"], "line 7, dimension 1, step 1: found 'x'; expected a number"),
        (["1,inf:3,4:up"], "dimension 0, step 1: found 'inf'"),
        (["1,2:3:up"], "line 7: found dimensions of 1 to 2 steps; expected equal lengths"),
        (["?,?:?,?:up"], "line 7: found no value"),
    ],
)
def test_a_bad_line_is_a_fault_of_its_series(lines: list[str], message: str, write: Any) -> None:
    bad = read_ts(write("a.ts", *HEAD, *lines)).series[-1]
    with pytest.raises(DataError, match=message):
        bad.checked()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("(0,1),(0,2):a", "dimension 0: found two values at one time"),
        ("(0,1),(soon,2):a", "dimension 0, step 1: found 'soon'; expected a number or a date"),
        ("(0,1),(1,x):a", "dimension 0, step 1: found 'x'"),
        ("(0,1),2:a", r"dimension 0: found '2'; expected \(time,value\)"),
    ],
)
def test_bad_time_stamps_are_a_fault(line: str, message: str, write: Any) -> None:
    [bad] = read_ts(write("a.ts", "@timeStamps true", "@classLabel true a", "@data", line)).series
    with pytest.raises(DataError, match=message):
        bad.checked()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1,2,3"], "found no line @data"),
        (["@classLabel true a"], "found no line @data"),
        (["@data"], "found no series after @data"),
        (["@classLabel", "@data", "1"], "found @classlabel ; expected true or false"),
        (["@dimensions two", "@data", "1"], "found @dimensions two"),
    ],
)
def test_a_file_of_another_format_is_refused(lines: list[str], message: str, write: Any) -> None:
    with pytest.raises(DataError, match=f"a.ts: {message}"):
        read_ts(write("a.ts", *lines))


def test_a_file_in_another_encoding_is_refused_by_its_line(write: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.ts, line 2: found bytes that are not utf-8.*Set encoding"):
        read_ts(write("a.ts", "# a", b"# \xe9", "@data", "1"))
    assert read_ts(tmp_path / "a.ts", "latin-1").series
    with pytest.raises(DataError, match="found no such file"):
        read_ts(tmp_path / "b.ts")
