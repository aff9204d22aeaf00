"""No data file of any plugin is waited for: FIFOs are refused where a file is read."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from itnet_core import DataError
from itnet_registry import create

SUFFIXES = ("csv", "parquet", "ts")
COMPLETE = {"classes": ["a", "b"], "channels": ["x"], "mean": [0.0], "std": [1.0], "extent": 1.0}

GRAPHS = {"classes": ["a", "b"], "mean": [0.0], "std": [1.0]}

USER_FILES = [
    ("image-folder", {}, "a.png"),
    ("audio-folder", {}, "a.wav"),
    ("mesh-folder", {}, "a.off"),
    ("part-segmentation", {}, "02691156/a.txt"),
    ("text-table", {"root": None, "train": "none.csv", "classes": ["a", "b"]}, "a.txt"),
    ("graph-file", {"root": None, "train": "none.jsonl", **GRAPHS}, "a.jsonl"),
    ("image-text-retrieval", {}, "a.json"),
    *(("series-table", {"root": None, "train": "none.csv", **COMPLETE}, f"a.{suffix}") for suffix in SUFFIXES),
]
"""Tasks, their options, and what a user's file is called."""

DATA_SETS = [
    ("text-table", {"root": None, "train": "a.csv", "classes": ["a", "b"]}, "a.csv"),
    *(("series-table", {"root": None, "train": f"a.{suffix}", **COMPLETE}, f"a.{suffix}") for suffix in SUFFIXES),
    ("graph-file", {"root": None, "train": "a.jsonl", **GRAPHS}, "a.jsonl"),
    ("image-text-retrieval", {"captions": "a.json"}, "a.json"),
    ("image-text-retrieval", {"captions": "a.csv"}, "a.csv"),
    ("image-text-retrieval", {"captions": "a.jsonl"}, "a.jsonl"),
    ("vqa-v2", {"vocabulary": ["a", "b"]}, "v2_mscoco_train2014_annotations.json"),
    ("nlvr2", {}, "train.json"),
    ("easy-vqa", {"answers": ["a", "b"]}, "train/questions.json"),
    ("glue/sst-2", {}, "train.tsv"),
    ("glue/sst-2", {}, "train-0.parquet"),
    ("part-segmentation", {}, "train_test_split/shuffled_train_file_list.json"),
    ("cifar-10", {}, "data_batch_1.bin"),
    ("fashion-mnist", {}, "train-images-idx3-ubyte.gz"),
    ("speech-commands", {}, "validation_list.txt"),
]


class Waited(BaseException):
    """Which no reader takes for a damaged file."""


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    """End a test that waits for a FIFO."""

    def end(*_: Any) -> None:
        raise Waited

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def fifo(folder: Path, name: str) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / name)
    return folder / name


def task_of(name: str, options: dict[str, Any], folder: Path) -> Any:
    given = {"root": str(folder), **options}
    if "train" in given:
        given["train"] = str(folder / given["train"])
    return create("task", name, **{key: value for key, value in given.items() if value is not None})


@pytest.mark.parametrize(("name", "options", "file"), USER_FILES)
def test_a_users_file(name: str, options: dict[str, Any], file: str, tmp_path: Path) -> None:
    path = fifo(tmp_path, file)
    with pytest.raises(DataError, match=r"found .*FIFO"):
        task_of(name, options, tmp_path).read(path)


@pytest.mark.parametrize(("name", "options", "file"), DATA_SETS)
def test_a_data_sets_file(name: str, options: dict[str, Any], file: str, tmp_path: Path) -> None:
    """Where a file in one of several places is looked for, a FIFO is none."""
    fifo(tmp_path, file)
    with pytest.raises(DataError, match=r"found (a FIFO|no |neither )"):
        task_of(name, options, tmp_path).dataset("train")


@pytest.mark.parametrize(("name", "suffix"), [("image-folder", "png"), ("audio-folder", "wav"), ("mesh-folder", "off")])
def test_a_sample_in_a_class_folder(name: str, suffix: str, tmp_path: Path) -> None:
    for kind in ("cat", "dog"):
        for number in range(3):
            fifo(tmp_path, f"{kind}/{number}.{suffix}")
    with pytest.raises(DataError, match=r"found .*FIFO.*on_bad_sample: skip"):
        task_of(name, {}, tmp_path).dataset("train")[0]
