from __future__ import annotations

import sys
from typing import Any

import pytest

from itnet_core import DataError
from itnet_series.data.layout import Layout, read_series

LONG = ("who,at,x,y,kind", "a,3,1,2,good", "b,0,5,6,bad", "a,1,,4,good", "b,0.5,7,8,bad")


def test_long_rows_are_grouped_and_sorted(write: Any) -> None:
    file = read_series(write("a.csv", *LONG), Layout(series="who", time="at"), "kind")
    assert file.channels == ("x", "y")
    first, second = file.series
    assert (first.label, second.label) == ("good", "bad")
    assert first.times.tolist() == [0, 2]
    assert first.values.nan_to_num(-1).tolist() == [[-1, 4], [1, 2]]
    assert second.values.tolist() == [[5, 6], [7, 8]]


def test_without_columns_of_series_and_time_a_file_is_one_series_of_even_steps(write: Any) -> None:
    [one] = read_series(write("a.tsv", "x\ty", "1\t2", "3\t4"), Layout()).series
    assert (one.times.tolist(), one.values.tolist()) == ([0, 1], [[1, 2], [3, 4]])
    [one] = read_series(write("b.csv", "1,2", "3,4"), Layout(header=False, channels=(1,))).series
    assert one.values.tolist() == [[2], [4]]


def test_a_row_without_a_name_is_of_no_series(write: Any) -> None:
    series = read_series(write("a.csv", *LONG, ",2,1,1,bad"), Layout(series="who", time="at"), "kind").series
    with pytest.raises(DataError, match="a.csv, line 6, column 'who': found ''; expected the name of a series"):
        series[2].checked()


def test_a_column_without_any_number_is_no_channel(write: Any) -> None:
    path = write("a.csv", "x,note,y,empty", "1,fine,?,", "2,5 o'clock,z,")
    file = read_series(path, Layout())
    assert file.channels == ("x", "empty")
    with pytest.raises(DataError, match="column 'y': found 'z'"):
        read_series(path, Layout(channels=("x", "y"))).series[0].checked()


def test_large_times_keep_their_differences(write: Any) -> None:
    [one] = read_series(write("a.csv", "at,x", "1700000000.25,1", "1700000000.5,2"), Layout(time="at")).series
    assert one.times.tolist() == [0, 0.25]


def test_wide_rows_have_their_own_lengths(write: Any) -> None:
    file = read_series(write("a.csv", "label,p,0,1,2", "up,k,1,,3", "down,k,4,5,"), Layout(layout="wide"), "label", "p")
    assert [one.values.flatten().nan_to_num(-1).tolist() for one in file.series] == [[1, -1, 3], [4, 5]]
    assert [(one.label, one.group) for one in file.series] == [("up", "k"), ("down", "k")]


def test_the_names_of_wide_columns_are_times_if_they_increase(write: Any) -> None:
    layout = Layout(layout="wide")
    assert read_series(write("a.csv", "0,0.5,2", "1,2,3"), layout).series[0].times.tolist() == [0, 0.5, 2]
    for names in ("a,b,c", "3,1,2"):
        assert read_series(write("a.csv", names, "1,2,3"), layout).series[0].times.tolist() == [0, 1, 2]


def test_a_file_of_the_archive_in_tabs(write: Any) -> None:
    """Without a header, and the class first."""
    file = read_series(write("a.tsv", "1\t0.5\t0.7", "2\t0.1\t0.2"), Layout(layout="wide", header=False), 0)
    assert [one.label for one in file.series] == ["1", "2"]
    assert file.series[1].values.flatten().tolist() == pytest.approx([0.1, 0.2])


def test_parquet_is_the_same_table(write: Any, tmp_path: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"who": ["a", "b", "a"], "at": [3, 0, 1], "x": [1.0, 5.0, None], "kind": ["good", "bad", "good"]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    first, second = read_series(tmp_path / "a.parquet", Layout(series="who", time="at"), "kind").series
    assert (first.times.tolist(), first.values.nan_to_num(-1).flatten().tolist()) == ([0, 2], [-1, 1])
    assert second.label == "bad"
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="b.parquet: found a damaged or unreadable file"):
        read_series(tmp_path / "b.parquet", Layout())


def test_without_pyarrow_the_error_says_what_to_install(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pyarrow is not installed.*itnet-series\[parquet\]"):
        read_series(write("a.parquet", "PAR1"), Layout())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("b,2,x,1,bad", "a.csv, line 6, column 'x': found 'x'; expected a number, or an empty cell"),
        ("b,2,1,1e39,bad", "line 6, column 'y': found '1e39'"),
        ("b,soon,1,1,bad", "line 6, column 'at': found 'soon'; expected a number or a date"),
        ("b,,1,1,bad", "line 6, column 'at': found ''"),
        ("b,0.5,1,1,bad", "line 6, column 'at': found '0.5', the time of another step"),
        ("b,2,1,1,good", "line 6, column 'kind': found 'good'; expected 'bad' as above"),
    ],
)
def test_a_bad_cell_is_a_fault_of_its_series_alone(row: str, message: str, write: Any) -> None:
    first, second = read_series(write("a.csv", *LONG, row), Layout(series="who", time="at"), "kind").series
    first.checked()
    with pytest.raises(DataError, match=message):
        second.checked()


@pytest.mark.parametrize(
    ("name", "lines", "options", "message"),
    [
        (
            "a.csv",
            LONG,
            {"series": "whom"},
            r"found no column 'whom' \(series\); expected one of 'who', 'at'.*Set series",
        ),
        ("a.csv", LONG, {"time": "when"}, r"found no column 'when' \(time\)"),
        ("a.csv", LONG, {"channels": ("z",)}, r"found no column 'z' \(channels\)"),
        ("a.csv", ["x", "1,2"], {}, "a.csv, line 2: found 2 cells; expected at most 1"),
        ("a.csv", ["x,x", "1,2"], {}, "found two columns 'x'"),
        ("a.csv", ["x,y", '"1,2'], {}, "found a damaged row"),
        ("a.csv", ["x"], {}, "found no rows"),
        ("a.csv", ["at", "1"], {"time": "at"}, "found no column of a channel"),
        ("a.csv", ["0,1", "1,2"], {"layout": "wide", "channels": ("x",)}, "found channels of a wide table"),
        ("a.json", ["1"], {}, "found a file ending in '.json'; expected one in .csv, .tsv, .txt, .parquet, .ts"),
        ("a.ts", ["@data", "1:2"], {"channels": (2,)}, "found no dimension 2; expected dimensions 0 to 1"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    name: str, lines: list[str], options: dict[str, Any], message: str, write: Any
) -> None:
    with pytest.raises(DataError, match=message):
        read_series(write(name, *lines), Layout(**options))


def test_dimensions_of_a_ts_file_are_selected(write: Any) -> None:
    path = write("a.ts", "@data", "1:2:3")
    assert read_series(path, Layout(channels=(2, 0))).series[0].values.tolist() == [[3, 1]]
    with pytest.raises(DataError, match="found a .ts file, which has no columns; expected no group_by"):
        read_series(path, Layout(), None, "patient")


def test_a_users_file_needs_no_label(write: Any) -> None:
    path = write("a.csv", "at,x", "0,1")
    with pytest.raises(DataError, match="found no column 'who'"):
        read_series(path, Layout(series="who", time="at"), "kind")
    [one] = read_series(path, Layout(series="who", time="at"), "kind", required=False).series
    assert one.label is None
