"""Read captions of images, in published layouts and in simple tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NotRequired

from typing_extensions import TypedDict

from itnet_core import DataError
from itnet_tasks import check_inside
from itnet_vision_language.data.json_files import check_text, read_json, read_json_lines, read_text

KARPATHY = '{"images": [{"filename": "…", "split": "train", "sentences": [{"raw": "…"}]}]}, as A. Karpathy published'
TABLE = "columns filename and caption, and split if they are divided"
LINES = '{"filename": "…", "caption": "…"} a line, and "split" if they are divided'
SPLITS = {"train": "train", "restval": "train", "val": "validation", "validation": "validation", "test": "test"}
"""Meaning of the names of splits. `restval` is the rest of COCO's validation images in Karpathy's splits."""


class Caption(NamedTuple):
    """An image's file name, one of its captions, and the caption's split, or `None` for a file without splits."""

    image: str
    text: str
    split: str | None


class Sentence(TypedDict):
    """A caption in Karpathy's files."""

    raw: str


class Image(TypedDict):
    """An image in Karpathy's files; `filepath` is its folder."""

    filename: str
    split: str
    sentences: list[Sentence]
    filepath: NotRequired[str]


class Images(TypedDict):
    """One of Karpathy's files."""

    images: list[Image]


class Line(TypedDict):
    """A line of a JSONL file or a row of a table."""

    filename: str
    caption: str
    split: NotRequired[str | None]


def read_captions(path: Path) -> Iterator[Caption | DataError]:
    """Yield the captions of a file, and an error for each bad one; the suffix decides the layout.

    Raises:
        DataError: the file is missing, damaged, or of another layout.
    """
    if path.suffix == ".json":
        yield from _karpathy(path)
    elif path.suffix in (".csv", ".tsv"):
        yield from _lines(_rows(path))
    elif path.suffix == ".jsonl":
        yield from _lines(read_json_lines(path, Line, LINES))
    else:
        expected = ".json (Karpathy's splits), .jsonl, .csv or .tsv"
        raise DataError(str(path), found=f"the suffix {path.suffix!r}", expected=expected)


def _karpathy(path: Path) -> Iterator[Caption | DataError]:
    for index, image in enumerate(read_json(path, Images, KARPATHY)["images"]):
        name = f"{image['filepath']}/{image['filename']}" if image.get("filepath") else image["filename"]
        for number, sentence in enumerate(image["sentences"]):
            yield _caption(name, sentence["raw"], image["split"], f"{path}.images.{index}.sentences.{number}")


def _rows(path: Path) -> list[tuple[str, Line]]:
    table = csv.DictReader(
        io.StringIO(read_text(path, TABLE), newline=""), delimiter="\t" if path.suffix == ".tsv" else ",", strict=True
    )
    rows: list[tuple[str, Line]] = []
    try:
        if not {"filename", "caption"} <= set(table.fieldnames or ()):
            raise DataError(str(path), found=f"columns {', '.join(table.fieldnames or ())}", expected=TABLE)
        for row in table:
            place = f"{path}:{table.line_num}"
            if None in row or None in row.values():
                hint = "Quote captions that contain the separator."
                raise DataError(place, found="another number of cells", expected="as many as in the header", hint=hint)
            split = row.get("split") or None
            rows.append((place, Line(filename=row["filename"], caption=row["caption"], split=split)))
    except csv.Error as error:
        raise DataError(f"{path}:{table.line_num}", found=f"a broken table ({error})", expected=TABLE) from None
    return rows


def _lines(lines: list[tuple[str, Line]]) -> Iterator[Caption | DataError]:
    for place, line in lines:
        yield _caption(line["filename"], line["caption"], line.get("split"), place)


def _caption(image: str, text: str, split: str | None, place: str) -> Caption | DataError:
    try:
        check_inside(image, f"{place}: the filename")
        check_text(text, f"{place}: the caption of {image}")
        if split is not None and split not in SPLITS:
            raise DataError(f"{place}.split", found=repr(split), expected=f"one of {', '.join(SPLITS)}")
    except DataError as error:
        return error
    return Caption(image, text, None if split is None else SPLITS[split])
