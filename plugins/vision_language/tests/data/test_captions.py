from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from itnet_core import DataError
from itnet_vision_language.data.captions import Caption, read_captions

FLICKR = {
    "images": [
        {
            "sentids": [0, 1],
            "imgid": 0,
            "sentences": [
                {"tokens": ["two", "men"], "raw": "Two men.", "imgid": 0, "sentid": 0},
                {"tokens": ["a", "yard"], "raw": "A yard.", "imgid": 0, "sentid": 1},
            ],
            "split": "train",
            "filename": "1000092795.jpg",
        },
        {"sentids": [], "imgid": 1, "sentences": [{"tokens": [], "raw": "Snow."}], "split": "val", "filename": "2.jpg"},
    ],
    "dataset": "flickr30k",
}
COCO = {
    "images": [
        {
            "filepath": "val2014",
            "sentids": [770337],
            "filename": "COCO_val2014_000000391895.jpg",
            "imgid": 0,
            "split": "restval",
            "sentences": [{"tokens": ["a", "man"], "raw": "A man.", "imgid": 0, "sentid": 770337}],
            "cocoid": 391895,
        }
    ],
    "dataset": "coco",
}


def test_karpathys_splits(tmp_path: Path, write_json: Any) -> None:
    assert list(read_captions(write_json(tmp_path / "dataset_flickr30k.json", FLICKR))) == [
        Caption("1000092795.jpg", "Two men.", "train"),
        Caption("1000092795.jpg", "A yard.", "train"),
        Caption("2.jpg", "Snow.", "validation"),
    ]
    assert list(read_captions(write_json(tmp_path / "dataset_coco.json", COCO))) == [
        Caption("val2014/COCO_val2014_000000391895.jpg", "A man.", "train")
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'split,filename,caption\ntest,a.png,"red, and\ngreen"\n,b.png,"a ""b"""\n'),
        ("a.tsv", 'caption\tfilename\tsplit\n"red, and\ngreen"\ta.png\ttest\n"a ""b"""\tb.png\t\n'),
        (
            "a.jsonl",
            '{"filename": "a.png", "caption": "red, and\\ngreen", "split": "test"}\n\n'
            '{"filename": "b.png", "caption": "a \\"b\\"", "other": 3}\n',
        ),
    ],
)
def test_tables_and_lines(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    expected = [Caption("a.png", "red, and\ngreen", "test"), Caption("b.png", 'a "b"', None)]
    assert list(read_captions(tmp_path / name)) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"file,caption\na.png,red\n", "a.csv: found columns file, caption; expected columns filename"),
        ("a.csv", b"", "a.csv: found columns ; expected"),
        ("a.csv", b"filename,caption\na.png,red, and green\n", "a.csv:2: found another number of cells.*Quote"),
        ("a.csv", b"filename,caption\na.png\n", "a.csv:2: found another number of cells"),
        ("a.csv", b'filename,caption\na.png,"red\n', "a.csv:1: found a broken table"),
        ("a.csv", "filename,caption\na.png,grün\n".encode("latin-1"), "found bytes that are not UTF-8, at 25"),
        ("a.jsonl", b'{"filename": "a.png"}\n', "a.jsonl:1.caption: found nothing"),
        ("a.json", b'{"images": [{"filename": "a.png"}]}', "a.json.images.0.split: found nothing"),
        ("a.txt", b"a.png a dog", "found the suffix '.txt'; expected .json"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_captions(tmp_path / name))


@pytest.mark.parametrize("name", ["/etc/a.png", "../a.png", "train/../../a.png"])
def test_an_image_outside_the_folder_is_a_bad_sample(name: str, tmp_path: Path, write_json: Any) -> None:
    folder, _, file = name.rpartition("/")
    image = {"filename": file, "filepath": folder, "split": "test", "sentences": [{"raw": "A man."}]}
    paths = [tmp_path / "a.csv", tmp_path / "a.jsonl", write_json(tmp_path / "a.json", {"images": [image]})]
    paths[0].write_text(f"filename,caption\n{name},red\n")
    paths[1].write_text(f'{{"filename": "{name}", "caption": "red"}}\n')
    for path in paths:
        [error] = read_captions(path)
        assert isinstance(error, DataError)
        assert f"the filename: found the file name {name!r}" in str(error)


def test_bad_captions_are_named_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("filename,caption,split\na.png, ,train\nb.png,red,learn\nc.png,blue,test\n")
    empty, unknown, good = (item for item in read_captions(tmp_path / "a.csv"))
    errors: list[Any] = [str(empty), str(unknown)]
    assert "a.csv:2: the caption of a.png: found an empty text" in errors[0]
    assert "a.csv:3.split: found 'learn'; expected one of train, restval, val" in errors[1]
    assert good == Caption("c.png", "blue", "test")
