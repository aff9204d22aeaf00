from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from itnet_core import DataError
from itnet_text.data.rows import Row, check_row, read_file, read_paragraphs, read_table, read_tsv, select_texts

Write = Callable[..., Path]
ROWS = [{"text": "fine", "label": "1"}, {"text": "dull", "label": "0"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,label\nfine,1\ndull,0\n"),
        ("a.CSV", '\ufefftext,label\r\n"fine","1"\r\ndull,0'),
        ("a.tsv", "text\tlabel\nfine\t1\n\ndull\t0\n"),
        ("a.txt", "text\tlabel\r\nfine\t1\r\ndull\t0\r\n"),
        ("a.jsonl", '{"text": "fine", "label": "1"}\n\n{"text": "dull", "label": "0"}\n'),
        ("a.ndjson", '{"text": "fine", "label": "1"}\r\n{"text": "dull", "label": "0"}'),
    ],
)
def test_every_kind_of_table_has_the_same_rows(name: str, content: str, write: Write) -> None:
    assert [columns for _, columns in read_table(write(name, content))] == ROWS


def test_columns_without_a_header_have_numbers(write: Write) -> None:
    [(place, columns)] = read_table(write("a.tsv", "fine\t1\t\n"), header=False)
    assert columns == {"0": "fine", "1": "1", "2": ""}
    assert place.endswith("a.tsv, line 1")


def test_rows_are_named_by_the_line_of_the_file(write: Write) -> None:
    for name, header in (("a.tsv", "text\tlabel"), ("a.csv", "text,label")):
        places = [place for place, _ in read_table(write(name, f"{header}\n\nfine\ndull\n"))]
        assert [place.partition(", ")[2] for place in places] == ["line 3", "line 4"]


def test_quotes_are_spreadsheets_in_csv_and_characters_elsewhere(write: Write) -> None:
    [(_, columns)] = read_table(write("a.csv", 'text,label\n"so ""fine"",\nso long",1\n'))
    assert columns == {"text": 'so "fine",\nso long', "label": "1"}
    rows = [columns for _, columns in read_table(write("a.tsv", 'text\tlabel\n"fine\t1\nso" dull\t0\n'))]
    assert [row["text"] for row in rows] == ['"fine', 'so" dull']


def test_quotes_that_are_not_closed_take_in_no_other_rows(write: Write) -> None:
    with pytest.raises(DataError, match="a.csv, line 4: found a damaged row"):
        list(read_table(write("a.csv", 'text,label\nfine,1\n"dull,0\nfine,1\n')))


def test_tab_separated_lines_end_where_lines_end(write: Write) -> None:
    """U+2028 and U+0085 are characters of texts."""
    path = write("a.tsv", '\ufefftext\tlabel\r\nso\u2028"fine\x85\t1\r\n\ndull\n')
    assert list(read_tsv(path)) == [
        (f"{path}, line 2", {"text": 'so\u2028"fine\x85', "label": "1"}),
        (f"{path}, line 4", {"text": "dull"}),
    ]
    assert next(columns for _, columns in read_tsv(path, ("a", "b"))) == {"a": "text", "b": "label"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", "", r"found a file ending in '.xlsx'; expected one in .csv, .tsv, .txt or .jsonl"),
        ("a.jsonl", '{"text": "a"}\n{"text', "a.jsonl, line 2: found no valid JSON"),
        ("a.jsonl", "[1]\n", "a.jsonl, line 1: found list; expected an object in each line"),
        ("a.csv", b"text\nfine\n\xe4h\n", r"a.csv, line 3: found bytes that are not utf-8 .*Set encoding"),
    ],
)
def test_what_is_no_such_table_is_named(name: str, content: Any, message: str, write: Write) -> None:
    with pytest.raises(DataError, match=message):
        list(read_table(write(name, content)))


def test_encodings(write: Write) -> None:
    for encoding in ("latin-1", "utf-16", "utf-8-sig"):
        assert read_file(write("a.txt", "äh".encode(encoding)), encoding) == "äh"
    with pytest.raises(DataError, match="a.txt: found the encoding 'morse'; expected one of Python's encodings"):
        read_file(write("a.txt", "äh"), "morse")


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere.txt: found No such file"):
        read_file(tmp_path / "nowhere.txt")
    with pytest.raises(DataError, match="found Is a directory"):
        read_file(tmp_path)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"a": "one", "b": "two"}, ""),
        ({"a": "one"}, "nothing in column 'b'"),
        ({"a": "one", "b": None}, "nothing in column 'b'"),
        ({"a": 3, "b": "two"}, "3 in column 'a'"),
    ],
)
def test_a_row_without_its_texts_says_why(columns: dict[str, Any], problem: str) -> None:
    row = select_texts(columns, ("a", "b"), "here")
    assert row.problem == problem
    if problem:
        with pytest.raises(DataError, match=f"here: found {problem}; expected a label, and two texts"):
            check_row(row)
    else:
        assert check_row(row) == ("one", "two")


@pytest.mark.parametrize(("text", "found"), [("", "an empty text"), (" \n", "an empty"), ("\udc00", "half of a")])
def test_a_text_that_cannot_be_read_is_refused(text: str, found: str) -> None:
    for texts in ((text,), ("fine", text)):
        with pytest.raises(DataError, match=f"here: found {found}"):
            check_row(Row(texts, "here"))
    assert check_row(Row((" fine ",), "here")) == " fine "


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_paragraphs_are_separated_by_empty_lines(write: Write, newline: str) -> None:
    path = write("a.txt", newline.join(["", "one", "  two", " ", "", "three", "", "four", ""]))
    rows = list(read_paragraphs(path))
    assert [row.texts for row in rows] == [("one\n  two",), ("three",), ("four",)]
    assert [row.place for row in rows] == [f"{path}, line {line}" for line in (2, 6, 8)]


def test_a_file_of_empty_lines_has_no_paragraph(write: Write) -> None:
    assert [list(read_paragraphs(write("a.txt", content))) for content in ("", "\n \n\t\n")] == [[], []]
