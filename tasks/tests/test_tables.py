from __future__ import annotations

import pickle
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset
from pyarrow.parquet import ParquetFile

from itnet_core import DataError
from itnet_tasks import Labelled
from itnet_tasks.stored import Stored
from itnet_tasks.tables import Tables


@pytest.fixture(params=[0, 1e-8])
def tables(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tables:
    """Three tables of 5, 2 and 4 rows, in parts of 2, from a copy or from the files themselves."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "huggingface")
    monkeypatch.setattr("itnet_tasks.tables.PART", 2)
    files = []
    for name, size in (("a", 5), ("b", 2), ("c", 4)):
        rows = {"text": [f"{name}{number}" for number in range(size)], "label": [number % 2 for number in range(size)]}
        table = Dataset.from_dict(rows).cast_column("label", ClassLabel(names=["no", "yes"]))
        table.to_parquet(file := tmp_path / f"{name}.parquet", batch_size=2)
        files.append(file)
    return Tables.open(files, ["text", "label"], request.param)


def texts_of(tables: Tables) -> Stored:
    return Stored(tables.positions(), partial(_text, tables), tables.files)


def _text(tables: Tables, position: list[int]) -> str:
    return str(tables.row(position)["text"])


def test_a_chunk_is_of_one_table(tables: Tables) -> None:
    texts = texts_of(tables)
    sizes = {"a": 5, "b": 2, "c": 4}
    assert list(texts) == tables.column("text") == [f"{name}{n}" for name, size in sizes.items() for n in range(size)]
    assert texts.chunks() == [2, 2, 1, 2, 2, 2]
    assert tables.place(texts.positions[6].tolist()) == f"{tables.files[1]}, row 1"
    assert tables.class_names("label") == ("no", "yes")
    assert tables.class_names("text") is None


def test_samples_are_selected_without_reading_them(tables: Tables) -> None:
    def refuse(position: list[int]) -> str:
        raise AssertionError(position)

    stored = Stored(tables.positions(), refuse, tables.files)
    kept = Labelled(stored, torch.arange(11)).select(torch.tensor([10, 3])).sources
    assert isinstance(kept, Stored)
    assert (len(kept), kept.positions[:, 1:].tolist()) == (2, [[2, 3], [0, 3]])


def test_other_processes_read_the_same(tables: Tables) -> None:
    texts = texts_of(tables)
    assert list(pickle.loads(pickle.dumps(texts))) == list(texts)


@pytest.mark.parametrize(("gigabytes", "times"), [(25e-6, 1), (15e-6, 10)])
def test_row_groups_are_read_once_if_those_that_are_shuffled_together_fit(
    gigabytes: float, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"{number:03}{'.' * 997}" for number in range(60)]
    Dataset.from_dict({"text": texts}).to_parquet(tmp_path / "a.parquet", batch_size=10)
    read, numbers = ParquetFile.read_row_groups, list[int]()

    def count(file: Any, groups: list[int], *args: Any, **options: Any) -> Any:
        numbers.extend(groups)
        return read(file, groups, *args, **options)

    monkeypatch.setattr(ParquetFile, "read_row_groups", count)
    tables = Tables.open([tmp_path / "a.parquet"], ["text"], gigabytes)
    order = [start + turn + 10 * second for start in (0, 20, 40) for turn in range(10) for second in (0, 1)]
    positions = tables.positions().tolist()
    assert [tables.row(positions[row])["text"] for row in order] == [texts[row] for row in order]
    assert Counter(numbers) == dict.fromkeys(range(6), times)


def test_a_damaged_row_group_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    Dataset.from_dict({"text": [f"a text {number}" for number in range(20)]}).to_parquet(path, batch_size=10)
    content, start = path.read_bytes(), ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    path.write_bytes(content[:start] + b"\xff" * 40 + content[start + 40 :])
    tables = Tables.open([path], ["text"], stream_gigabytes=1)
    assert tables.row([0, 0, 3]) == {"text": "a text 3"}
    with pytest.raises(DataError, match="a.parquet, row group 1: found a damaged file"):
        tables.row([1, 0, 13])
    with pytest.raises(DataError, match="a.parquet, row group 0, 1: found a damaged file"):
        tables.column("text")
