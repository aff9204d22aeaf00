"""The same texts in parquet and Arrow files and in lines are the same samples."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset

from itnet_core import DataError, Split
from itnet_tasks import SkippedSampleWarning
from itnet_tasks.stored import Stored
from itnet_testing import TaskConformance
from itnet_text.tasks.language_model import LanguageModel
from itnet_text.tasks.table import TextTable, TextTableRegression
from itnet_text.tasks.word_order import WordOrder

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
NAMES = ("dull", "fine")
ROWS: list[dict[str, Any]] = [
    {
        "text": f"the review number {n} is a long {'old ' * (n % 5)}one",
        "note": f"note {n}",
        "label": NAMES[n % 2],
        "stars": n / 4,
    }
    for n in range(40)
]


def lines(folder: Path, rows: Sequence[Mapping[str, Any]] = ROWS) -> str:
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(folder / "rows.jsonl")


def in_parquet(folder: Path) -> str:
    for number in range(3):
        Dataset.from_list(ROWS[15 * number : 15 * number + 15]).to_parquet(folder / f"t-{number}.parquet")
    return str(folder / "t-*.parquet")


def with_classes(folder: Path) -> str:
    rows = [{**row, "label": NAMES.index(str(row["label"]))} for row in ROWS]
    table = Dataset.from_list(rows).cast_column("label", ClassLabel(names=list(NAMES)))
    table.to_parquet(folder / "c.parquet")
    return str(folder / "c.parquet")


def saved(folder: Path) -> str:
    Dataset.from_list(ROWS).save_to_disk(folder / "saved")
    return str(folder / "saved")


def in_arrow(folder: Path) -> str:
    saved(folder)
    return str(folder / "saved/*.arrow")


@pytest.mark.parametrize(
    ("way", "more"),
    [
        (in_parquet, {}),
        (with_classes, {}),
        (saved, {}),
        (in_arrow, {}),
        (in_parquet, {"stream_gigabytes": 1e-8}),
        (with_classes, {"stream_gigabytes": 1e-8}),
    ],
)
@pytest.mark.parametrize(
    ("task", "options"),
    [
        (TextTable, {}),
        (TextTable, {"label": "stars", "threshold": 4.0, "second_text": "note"}),
        (TextTableRegression, {"label": "stars"}),
    ],
)
def test_samples_are_those_of_lines(
    task: Any, options: dict[str, Any], way: Callable[[Path], str], more: dict[str, float], tmp_path: Path
) -> None:
    expected, mine = task(train=lines(tmp_path), **options), task(train=way(tmp_path), **options, **more)
    assert getattr(mine, "classes", ()) == getattr(expected, "classes", ())
    others = {"train", "stream_gigabytes"}
    assert mine.config.completed().model_dump(exclude=others) == expected.config.completed().model_dump(exclude=others)
    for split in SPLITS:
        stored, others = mine.dataset(split), expected.dataset(split)
        assert [stored[number] for number in range(len(others))] == [others[number] for number in range(len(others))]
        assert mine.lengths(split) == expected.lengths(split)
        assert isinstance(stored.sources, Stored)
        assert sum(mine.chunks(split)) == len(stored)
    assert expected.chunks("train") is None


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        ({"text": " "}, "an empty text"),
        ({"text": None}, "nothing in column 'text'"),
        ({"label": None}, "the label None in column 'label'"),
    ],
)
def test_a_bad_row_is_named_and_refused_or_skipped(bad: dict[str, Any], found: str, tmp_path: Path) -> None:
    path = str(tmp_path / "a.parquet")
    Dataset.from_list([*ROWS[:3], {**ROWS[3], **bad}]).to_parquet(path)
    with pytest.raises(DataError, match=f"a.parquet, row 3: found {found}.*on_bad_sample: skip"):
        TextTable(train=path, test=path).dataset("test")[3]
    task = TextTable(train=path, test=path, on_bad_sample="skip")
    with pytest.warns(SkippedSampleWarning, match=f"row 3: found {found}"):
        assert task.dataset("test")[3] is None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("t-0.parquet", "columns text, note, label, stars; expected a column 'review'"),
        ("missing.parquet", "no such file"),
        ("hf://datasets/someone/no-such-data/a.parquet", "no such file in the cache; .* download: true"),
        ("pipe:cat a.parquet", "an address in pipe:"),
    ],
)
def test_other_files_are_refused(name: str, found: str, tmp_path: Path) -> None:
    in_parquet(tmp_path)
    path = name if ":" in name else str(tmp_path / name)
    with pytest.raises(DataError, match=f"found {found}"):
        TextTable(train=path, text="review").dataset("train")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    in_parquet(tmp_path)
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "t-0.parquet").read_bytes()[:300])
    with pytest.raises(DataError, match=r"cut.parquet: found no such table"):
        TextTable(train=str(tmp_path / "cut.parquet")).dataset("train")


def test_language_models_and_word_order_read_the_same_texts(tmp_path: Path) -> None:
    text, parquet = lines(tmp_path), str(tmp_path / "a.parquet")
    Dataset.from_list(ROWS).to_parquet(parquet)
    (tmp_path / "folder").mkdir()
    Dataset.from_list(ROWS).to_parquet(tmp_path / "folder/a.parquet")
    for split in SPLITS:
        expected = LanguageModel(train=text, text="text", length=8).dataset(split)
        for path in (parquet, str(tmp_path / "folder")):
            mine = LanguageModel(train=path, text="text", length=8).dataset(split)
            assert [stretch.tolist() for stretch in mine.sources] == [stretch.tolist() for stretch in expected.sources]
        ordered, others = (WordOrder(table=path).dataset(split) for path in (parquet, text))
        assert [ordered[n] for n in range(len(others))] == [others[n] for n in range(len(others))]


class TestLargeConformance(TaskConformance):
    component = "itnet-text/text-table"
    encoder = "itnet-text/token"

    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path) -> None:
        self.written: Mapping[str, Any] = {"train": in_parquet(tmp_path)}

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return ["a fine film", {"text": "a fine film", "note": 1}]

    def user_file(self, folder: Path) -> Path:
        (folder / "mine.txt").write_text("a fine film")
        return folder / "mine.txt"
