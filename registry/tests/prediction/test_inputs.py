from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from itnet_registry import Predictor
from itnet_registry.prediction.inputs import find_inputs, resolve_argument


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of files, some of which the task reads."""
    for name in ("a.num", "b.NUM", "below/c.num", ".hidden/d.num", ".e.num", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1 2")
    return tmp_path


def names(value: Any, predictor: Predictor, column: str | None = None) -> list[str]:
    return [Path(found.name).name for found in find_inputs(value, predictor.task, column)]


def test_a_folder_has_the_files_that_the_task_reads(folder: Path, predictor: Predictor) -> None:
    assert names(folder, predictor) == ["a.num", "b.NUM", "c.num"]
    assert names(str(folder), predictor) == ["a.num", "b.NUM", "c.num"]


def test_a_pattern_has_the_files_that_match(
    folder: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert names(f"{folder}/*.num", predictor) == ["a.num"]
    assert names(f"{folder}/bel*", predictor) == ["c.num"]
    monkeypatch.chdir(folder)
    assert names("**/c.num", predictor) == ["c.num"]
    (folder / "[1].num").write_text("1")
    assert names("[1].num", predictor) == ["[1].num"]


@pytest.mark.parametrize(
    ("value", "error"),
    [("*.none", "no file of this pattern"), ("x" * 5000, "File name too long"), ("a\0b", "no such file")],
)
def test_what_no_file_matches_is_one_input_with_the_error(value: str, error: str, predictor: Predictor) -> None:
    [found] = predictor.predict([value])
    assert error in str(found.error)


def test_a_folder_without_such_files_is_refused(tmp_path: Path, predictor: Predictor) -> None:
    (tmp_path / "notes.txt").write_text("1")
    [found] = predictor.predict(tmp_path)
    assert (
        found.error
        == f"DataError: {tmp_path}: found 1 files, and none that the task reads; expected files ending in .num."
    )


TABLE = {
    "t.csv": 'id,numbers\n1,a.num\n2,"b.NUM"\n',
    "t.tsv": "id\tnumbers\n1\ta.num\n2\tb.NUM\n",
    "t.jsonl": '{"id": 1, "numbers": "a.num"}\n\n{"id": 2, "numbers": "b.NUM"}\n',
}


@pytest.mark.parametrize("table", TABLE)
@pytest.mark.parametrize("column", [None, "numbers"])
def test_the_rows_of_a_table_are_inputs(table: str, column: str | None, folder: Path, predictor: Predictor) -> None:
    (folder / table).write_text(TABLE[table])
    found = list(predictor.predict([folder / table], column=column))
    assert [one.error for one in found] == [None, None]
    assert [Path(one.name).name for one in found] == [
        f"{table}, line 2" if "jsonl" not in table else f"{table}, line 1",
        f"{table}, line 3",
    ]


def test_the_rows_of_a_parquet_file_are_inputs(folder: Path, predictor: Predictor) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"numbers": [[1.0, 2.0], [3.0]]}), folder / "t.parquet")
    found = [one.record for one in predictor.predict(str(folder / "t.parquet"))]
    assert [len(record["values"]) for record in found if record] == [2, 1]


def test_the_cells_of_a_table_are_texts_where_the_task_reads_texts(folder: Path, words: Predictor) -> None:
    (folder / "t.csv").write_text("line,numbers\na.num,1 2\nb,\n")
    found = list(words.predict(folder / "t.csv", column="numbers"))
    assert [one.record is None for one in found] == [False, True]
    [missing] = words.predict(folder / "t.csv", column="words")
    assert "found no column 'words'; expected one of 'line', 'numbers'" in str(missing.error)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("t.csv", b'a\n"open', "a damaged row"),
        ("t.csv", b"a\n\xff\xfe", "a table in UTF-8"),
        ("t.jsonl", b"[1]", "expected an object in each line"),
        ("t.jsonl", b"{", "no valid JSON"),
        ("t.parquet", b"PAR1", "a damaged file"),
    ],
)
def test_a_damaged_table_is_one_input_with_the_error(
    name: str, content: bytes, error: str, tmp_path: Path, predictor: Predictor
) -> None:
    (tmp_path / name).write_bytes(content)
    found = list(predictor.predict([tmp_path / name, [1.0]]))
    assert error in str(found[0].error)
    assert str(tmp_path / name) in str(found[0].error)
    assert found[-1].record is not None


def test_an_argument_of_a_task_on_texts_is_a_file_if_it_exists_or_ends_like_one(folder: Path, words: Predictor) -> None:
    assert resolve_argument(str(folder), words.task) == folder
    assert resolve_argument("missing.num", words.task) == Path("missing.num")
    assert resolve_argument("a missing.csv", words.task) == Path("a missing.csv")
    assert resolve_argument("1 2", words.task) == "1 2"
    assert resolve_argument("1 " * 5000, words.task) == "1 " * 5000
