from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import ConfigError, DataError, Split
from itnet_registry import create_model, load_model, save_model
from itnet_tasks import SkippedSampleWarning
from itnet_testing import TaskConformance
from itnet_text.tasks.table import TextTable, TextTableRegression

Write = Callable[..., Path]
WORDS = ("fine", "dull", "long")


@pytest.fixture
def table(write: Write) -> str:
    """Thirty reviews, ten of each of three classes."""
    lines = [f"{number} {WORDS[number % 3]},{WORDS[number % 3]},{number}" for number in range(30)]
    return str(write("reviews.csv", "\n".join(["text,label,stars", *lines])))


def samples(task: Any, split: str) -> list[tuple[Any, Any]]:
    dataset = task.dataset(split)
    return [(sample.inputs, sample.label) for sample in map(dataset.__getitem__, range(len(dataset)))]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\n"fine, so fine",good\ndull,bad\n'),
        ("a.tsv", "text\tlabel\nfine, so fine\tgood\ndull\tbad\n"),
        ("a.txt", "text\tlabel\nfine, so fine\tgood\ndull\tbad\n"),
        ("a.jsonl", '{"text": "fine, so fine", "label": "good"}\n{"label": "bad", "text": "dull", "more": [1]}\n'),
    ],
)
def test_every_format_is_read(name: str, content: str, write: Write) -> None:
    path = str(write(name, content))
    assert samples(TextTable(train=path, test=path), "test") == [("fine, so fine", 1), ("dull", 0)]


def test_files_without_a_header_have_columns_with_numbers(write: Write) -> None:
    path = str(write("a.tsv", "7\tgood\tfine\n8\tbad\tdull\n"))
    task = TextTable(train=path, test=path, header=False, text=2, label=1)
    assert samples(task, "test") == [("fine", 1), ("dull", 0)]


def test_pairs_are_of_two_columns(write: Write, tmp_path: Path) -> None:
    path = str(write("a.csv", "question,answer,label\nhow long?,so long,1\nhow?,well,0\n"))
    task = TextTable(train=path, test=path, text="question", second_text="answer")
    assert samples(task, "test") == [(("how long?", "so long"), 1), (("how?", "well"), 0)]
    assert task.read(write("mine.txt", "how long?\nvery\n")).inputs == ("how long?", "very")


def test_classes_are_the_labels_values_sorted(table: str, write: Write) -> None:
    task = TextTable(train=table)
    assert task.classes == ("dull", "fine", "long")
    assert task.head == {"name": "itnet-core/classify", "classes": 3}
    numbers = str(write("a.jsonl", '{"text": "fine", "label": 1}\n{"text": "dull", "label": false}\n'))
    assert TextTable(train=numbers).classes == ("1", "False")


def test_classes_may_be_said(table: str) -> None:
    task = TextTable(train=table, test=table, classes=["long", "fine", "dull"])
    assert [label for _, label in samples(task, "test")[:3]] == [1, 2, 0]
    with pytest.raises(DataError, match=r"reviews.csv, line 4: found the label 'long' in column 'label'"):
        samples(TextTable(train=table, test=table, classes=["fine", "dull"]), "test")


def test_tens_of_thousands_of_classes_take_time_by_their_number(write: Write) -> None:
    rows = "".join(f"text {number},class {number}\n" for number in range(30_000))
    path = str(write("a.csv", f"text,label\n{rows}"))
    task = TextTable(train=path, test=path)
    start = time.process_time()
    labels = task.test().labels
    assert time.process_time() - start < 6
    assert [task.classes[int(label)] for label in labels[:3]] == ["class 0", "class 1", "class 2"]


def test_a_checkpoint_knows_its_classes_without_the_table(table: str, tmp_path: Path) -> None:
    model = create_model("itnet-nano", encoder="token", task={"name": "text-table", "train": table})
    save_model(model, tmp_path / "model")
    Path(table).unlink()
    config: Any = load_model(tmp_path / "model").config
    options = config["tasks"]["text"]
    assert options.pop("name") == "itnet-text/text-table"
    task = TextTable(**json.loads(json.dumps(options)))
    assert [record["label"] for record in task.describe(torch.eye(3))] == ["dull", "fine", "long"]


def test_a_threshold_makes_two_classes(table: str) -> None:
    task = TextTable(train=table, test=table, label="stars", threshold=10)
    assert task.classes == ("low", "high")
    assert [label for _, label in samples(task, "test")] == [0] * 11 + [1] * 19
    assert TextTable(train=table, threshold=0, classes=["negative", "positive"]).classes == ("negative", "positive")
    with pytest.raises(ConfigError, match="expected two classes with a threshold"):
        TextTable(train=table, threshold=0, classes=["a", "b", "c"])


def test_splits_are_disjoint_and_of_every_class(table: str) -> None:
    task = TextTable(train=table, validation=0.25)
    parts = {split: samples(task, split) for split in ("train", "validation", "test")}
    texts = [text for part in parts.values() for text, _ in part]
    assert len(texts) == len(set(texts)) == 30
    assert [len(part) for part in parts.values()] == [18, 6, 6]
    for part in parts.values():
        assert {label for _, label in part} == {0, 1, 2}


def test_each_fold_is_the_test_split_in_turn(table: str) -> None:
    folds = [{text for text, _ in samples(TextTable(train=table, test_folds=3, test_fold=i), "test")} for i in range(3)]
    assert [len(fold) for fold in folds] == [10] * 3
    assert len(set().union(*folds)) == 30
    with pytest.raises(ConfigError, match="test_fold: found 3"):
        TextTable(train=table, test_folds=3, test_fold=3).dataset("test")


def test_files_for_validation_and_test_are_taken_whole(table: str, write: Write) -> None:
    validation = str(write("v.csv", "text,label\nnew,fine\n"))
    test = str(write("t.csv", "text,label\nother,dull\n"))
    task = TextTable(train=table, validation_file=validation, test=test)
    assert samples(task, "validation") == [("new", 1)]
    assert samples(task, "test") == [("other", 0)]
    assert len(task.dataset("train")) == 30


BAD = [
    (" ,1", "an empty text"),
    ("fine,", "the label ''"),
    ("fine", "the label None"),
    ('"",1', "an empty text"),
]


@pytest.mark.parametrize(("line", "found"), BAD)
@pytest.mark.parametrize("task", [TextTable, TextTableRegression])
def test_a_bad_row_is_named_and_refused_or_skipped(task: Any, line: str, found: str, write: Write) -> None:
    path = str(write("a.csv", f"text,label\ngood,1\n{line}\nbad,0\n"))
    dataset = task(train=path, test=path).dataset("test")
    with pytest.raises(DataError, match=f"a.csv, line 3: found {found}.*on_bad_sample: skip"):
        dataset[1]
    skipping = task(train=path, test=path, on_bad_sample="skip")
    dataset = skipping.dataset("test")
    with pytest.warns(SkippedSampleWarning, match=f"1 of 3 samples skipped so far. .*line 3: found {found}"):
        batch = skipping.collate([dataset[i] for i in range(3)])
    assert (batch.inputs, batch.targets.tolist()) == (["good", "bad"], [1, 0])


@pytest.mark.parametrize("line", ["fine,", "fine", "fine, "])
def test_no_label_is_no_class(line: str, write: Write) -> None:
    assert TextTable(train=str(write("a.csv", f"text,label\ngood,1\n{line}\nbad,0\n"))).classes == ("0", "1")


def test_a_class_may_be_called_none(write: Write) -> None:
    path = str(write("a.jsonl", '{"text": "fine", "label": "None"}\n{"text": "dull", "label": null}\n'))
    dataset = TextTable(train=path, test=path).dataset("test")
    assert dataset[0] == ("fine", 0)
    with pytest.raises(DataError, match="a.jsonl, line 2: found the label None"):
        dataset[1]


@pytest.mark.parametrize("value", ["good", "nan", "inf", ""])
def test_a_label_that_is_no_number_is_refused(value: str, write: Write) -> None:
    path = str(write("a.csv", f"text,label\nfine,{value}\n"))
    for task in (TextTableRegression(train=path, test=path), TextTable(train=path, test=path, threshold=1)):
        with pytest.raises(DataError, match=f"a.csv, line 2: found the label '{value}' in column 'label'"):
            task.dataset("test")[0]


def test_a_number_beyond_float32_is_refused(write: Write) -> None:
    path = str(write("a.csv", "text,label\nfine,1e39\n"))
    with pytest.raises(DataError, match="a.csv, line 2: found the label '1e39'"):
        TextTableRegression(train=path, test=path).dataset("test")[0]
    assert TextTable(train=path, test=path, threshold=1).dataset("test")[0].label == 1  # type: ignore[union-attr]


def test_a_missing_column_is_named_with_those_there_are(table: str) -> None:
    for options in ({"text": "review"}, {"label": "review"}, {"second_text": "review"}):
        with pytest.raises(DataError, match="found no column 'review'; expected one of 'label', 'stars', 'text'"):
            TextTable(train=table, **options).dataset("train")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="found no column '7'; expected one of '0', '1', '2'"):
        TextTable(train=table, header=False, text=0, label=7).dataset("train")


@pytest.mark.parametrize("content", ["", "text,label\n"])
def test_a_table_without_rows_is_refused(content: str, write: Write) -> None:
    with pytest.raises(DataError, match="a.csv: found no rows"):
        TextTable(train=str(write("a.csv", content))).dataset("train")


def test_a_table_is_in_its_encoding(write: Write) -> None:
    path = str(write("a.csv", "text,label\nfine,1\nschön,0\n".encode("latin-1")))
    with pytest.raises(DataError, match=r"a.csv, line 3: found bytes that are not utf-8 .* Set encoding"):
        TextTable(train=path, test=path).dataset("test")
    assert samples(TextTable(train=path, test=path, encoding="latin-1"), "test")[1] == ("schön", 0)


def test_a_configuration_may_be_written_before_the_data_are_there(write: Write, tmp_path: Path) -> None:
    task = TextTable(train=str(tmp_path / "a.csv"))
    with pytest.raises(DataError, match="a.csv: found No such file"):
        _ = task.classes
    write("a.csv", "text,label\nfine,good\ndull,bad\n")
    assert task.classes == ("bad", "good")


def test_numbers_are_learned_in_units_of_their_spread_and_told_in_their_own(table: str) -> None:
    task = TextTableRegression(train=table, test=table, label="stars", centre=10, scale=5)
    assert [label for _, label in samples(task, "test")] == list(range(30))
    assert task.collate_targets([10.0, 20.0]).tolist() == [0, 2]
    assert task.describe(torch.tensor([[0.0], [2.0]])) == [{"value": 10.0}, {"value": 20.0}]
    assert task.head == {"name": "itnet-core/regress", "outputs": 1}
    assert list(task.metrics()) == ["pearson", "spearman"]
    model = create_model("itnet-nano", encoder="token", task={"name": "text-table-regression", "train": table})
    assert model(["a fine film", "dull"]).shape == (2, 1)


@pytest.mark.parametrize("wrong", [{"test_folds": 1}, {"header": "perhaps"}, {"text": None}, {"validation": 1}])
def test_wrong_options_are_refused(wrong: dict[str, Any], table: str) -> None:
    with pytest.raises(ConfigError, match=f"TextTable.{next(iter(wrong))}"):
        TextTable(train=table, **wrong)
    with pytest.raises(ConfigError, match="TextTable.train: found nothing"):
        TextTable()


class TestClassification(TaskConformance):
    component = "itnet-text/text-table"
    encoder = "itnet-text/token"

    @pytest.fixture(autouse=True)
    def _files(self, table: str) -> None:
        self.written: Mapping[str, Any] = {"train": table}

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return ["a fine film", {"text": "a fine film", "note": 1}, {"review": "a fine film"}]

    def user_file(self, folder: Path) -> Path:
        (folder / "mine.txt").write_text("a fine film")
        return folder / "mine.txt"


class TestRegression(TestClassification):
    component = "itnet-text/text-table-regression"

    @pytest.fixture(autouse=True)
    def _files(self, table: str) -> None:
        self.written = {"train": table, "label": "stars"}


def test_lengths_are_those_of_the_samples(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("a,b,label\n" + "".join(f"{'x' * n},{'y' * (2 * n)},{n % 2}\n" for n in range(1, 41)))
    task = TextTable(train=str(file), text="a", second_text="b")
    splits: tuple[Split, ...] = ("train", "validation", "test")
    for split in splits:
        assert task.lengths(split) == [len("".join(texts)) for texts, _ in samples(task, split)]
