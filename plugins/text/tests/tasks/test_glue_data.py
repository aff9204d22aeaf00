"""On fixtures in exactly the published layouts: the hub's Parquet files, and the original tab-separated ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from datasets import Dataset
from pyarrow import parquet

from itnet_core import DataError
from itnet_registry import component
from itnet_tasks import LabelledTask, SkippedSampleWarning
from itnet_testing import TaskConformance
from itnet_text.tasks.glue import MNLI, MRPC, QQP, SST2, CoLA, MNLIMismatched
from itnet_text.tasks.glue_data import HUB

YES_NO = ("entailment", "not_entailment")


class Layout(NamedTuple):
    """Where a task's files are and what stands in them.

    Attributes:
        hub: its folder on the hub.
        columns: of its Parquet files, less `label` and `idx`.
        folder: of the original download.
        header: of its tab-separated files; the columns in braces hold the texts and the label.
        labels: as the original files have them; their places are the hub's.
        development: name of the development set on the hub, and of its original file.
    """

    hub: str
    columns: tuple[str, ...]
    folder: str
    header: str
    labels: tuple[Any, ...] = ("0", "1")
    development: tuple[str, str] = ("validation", "dev")


MNLI_HEADER = (
    "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse "
    "{sentence1} {sentence2} label1 {gold_label}"
)
MNLI_LAYOUT = Layout(
    "mnli",
    ("premise", "hypothesis"),
    "MNLI",
    MNLI_HEADER,
    ("entailment", "neutral", "contradiction"),
    ("validation_matched", "dev_matched"),
)
PAIR = ("sentence1", "sentence2")
LAYOUTS = {
    "cola": Layout("cola", ("sentence",), "CoLA", "source {label} star {sentence}"),
    "sst-2": Layout("sst2", ("sentence",), "SST-2", "{sentence} {label}"),
    "mrpc": Layout("mrpc", PAIR, "MRPC", "{Quality} #1_ID #2_ID {#1_String} {#2_String}"),
    "qqp": Layout("qqp", ("question1", "question2"), "QQP", "id qid1 qid2 {question1} {question2} {is_duplicate}"),
    "sts-b": Layout(
        "stsb",
        PAIR,
        "STS-B",
        "index genre filename year old_index source1 source2 {sentence1} {sentence2} {score}",
        ("0.000", "3.750", "5.000"),
    ),
    "mnli": MNLI_LAYOUT,
    "mnli-mismatched": MNLI_LAYOUT._replace(development=("validation_mismatched", "dev_mismatched")),
    "qnli": Layout("qnli", ("question", "sentence"), "QNLI", "index {question} {sentence} {label}", YES_NO),
    "rte": Layout("rte", PAIR, "RTE", "index {sentence1} {sentence2} {label}", YES_NO),
    "wnli": Layout("wnli", PAIR, "WNLI", "index {sentence1} {sentence2} {label}"),
}
LABEL_FIRST = ("cola", "mrpc")
ROWS = 12


def task_of(name: str, root: Path, **options: Any) -> LabelledTask:
    task: LabelledTask = component("task", f"glue/{name}").load()(root=str(root), **options)
    return task


def texts(split: str, number: int, count: int) -> tuple[str, ...]:
    """Texts with what is special to tables; a quote is closed nowhere."""
    return tuple(f'{split} {number}.{part}, so "fine\u2028, ünd' for part in range(count))


def write_hub(root: Path, name: str) -> None:
    layout = LAYOUTS[name]
    for split in ("train", layout.development[0]):
        rows = [texts(split[:5], number, len(layout.columns)) for number in range(ROWS)]
        numbers = [number % len(layout.labels) for number in range(ROWS)]
        labels = pa.array([float(layout.labels[n]) for n in numbers], pa.float32()) if name == "sts-b" else numbers
        columns = dict(zip(layout.columns, zip(*rows, strict=True), strict=True))
        path = root / layout.hub / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.table({**columns, "label": labels, "idx": range(ROWS)}), path)


def write_original(root: Path, name: str) -> None:
    layout = LAYOUTS[name]
    columns = layout.header.split()
    (root / layout.folder).mkdir(parents=True)
    for (split, _), file in zip((("train", 0), layout.development), ("train", layout.development[1]), strict=True):
        names = [column.strip("{}").replace("_", " ") if "#" in column else column.strip("{}") for column in columns]
        lines = [] if name == "cola" else ["\t".join(names)]
        for number in range(ROWS):
            parts = [*texts(split[:5], number, len(layout.columns))]
            label = layout.labels[number % len(layout.labels)]
            filled = [label, *parts] if name in LABEL_FIRST else [*parts, label]
            lines.append("\t".join(filled.pop(0) if "{" in column else f"other {column}" for column in columns))
        (root / layout.folder / f"{file}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def samples(task: LabelledTask, split: Any) -> list[tuple[Any, Any]]:
    dataset = task.dataset(split)
    return [(sample.inputs, sample.label) for sample in map(dataset.__getitem__, range(len(dataset)))]  # type: ignore[union-attr]


@pytest.mark.parametrize("write", [write_hub, write_original])
@pytest.mark.parametrize("name", LAYOUTS)
def test_both_published_layouts_hold_the_same_samples(
    name: str, write: Callable[[Path, str], None], tmp_path: Path
) -> None:
    """The development set is the test split; validation is a part of the training set."""
    write(tmp_path, name)
    task, layout = task_of(name, tmp_path, validation=0.25), LAYOUTS[name]

    def expected(split: str) -> list[tuple[Any, Any]]:
        rows = [texts(split, number, len(layout.columns)) for number in range(ROWS)]
        labels = [number % len(layout.labels) for number in range(ROWS)]
        given = [float(layout.labels[label]) for label in labels] if name == "sts-b" else labels
        return [(row if len(row) > 1 else row[0], label) for row, label in zip(rows, given, strict=True)]

    assert samples(task, "test") == expected("valid")
    train, validation = samples(task, "train"), samples(task, "validation")
    assert sorted(train + validation) == sorted(expected("train"))
    assert 2 <= len(validation) <= 4


@pytest.mark.parametrize("write", [write_hub, write_original])
def test_the_tasks_own_folder_may_be_the_root(write: Callable[[Path, str], None], tmp_path: Path) -> None:
    write(tmp_path, "rte")
    [folder] = tmp_path.iterdir()
    assert len(task_of("rte", folder).dataset("test")) == ROWS


def test_mnlis_two_development_sets_are_of_one_training_set(tmp_path: Path) -> None:
    write_hub(tmp_path, "mnli")
    path = tmp_path / "mnli/validation_mismatched-00000-of-00001.parquet"
    parquet.write_table(pa.table({"premise": ["other"], "hypothesis": ["genres"], "label": [2]}), path)
    matched, mismatched = MNLI(root=str(tmp_path)), MNLIMismatched(root=str(tmp_path))
    assert samples(mismatched, "test") == [(("other", "genres"), 2)]
    assert samples(matched, "train") == samples(mismatched, "train")
    assert len(samples(matched, "test")) == ROWS


def test_mrpc_is_read_from_microsofts_own_files(write: Callable[..., Path]) -> None:
    header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
    write("MRPC/msr_paraphrase_train.txt", f'{header}1\t1\t2\tso "fine\tso good\r\n0\t3\t4\tone\ttwo\r\n')
    root = write("MRPC/msr_paraphrase_test.txt", f"{header}0\t5\t6\tthree\tfour\r\n").parent.parent
    assert samples(MRPC(root=str(root)), "test") == [(("three", "four"), 0)]
    assert MRPC(root=str(root)).training().labels.tolist() == [1, 0]  # type: ignore[union-attr]


def test_all_parts_of_a_split_are_read_in_order(tmp_path: Path) -> None:
    for part in range(3):
        path = tmp_path / f"validation-{part:05}-of-00003.parquet"
        parquet.write_table(pa.table({"sentence": [f"{part}a", f"{part}b"], "label": [0, 1], "idx": [0, 1]}), path)
    assert [text for text, _ in samples(SST2(root=str(tmp_path)), "test")] == ["0a", "0b", "1a", "1b", "2a", "2b"]


def test_a_folders_name_is_no_pattern(tmp_path: Path) -> None:
    root = tmp_path / "my [data]*"
    write_hub(root, "sst-2")
    assert len(samples(SST2(root=str(root)), "test")) == ROWS


def test_files_that_were_replaced_are_read_again(tmp_path: Path) -> None:
    for text in ("before", "after"):
        path = tmp_path / "validation-00000-of-00001.parquet"
        parquet.write_table(pa.table({"sentence": [text], "label": [1]}), path)
        assert samples(SST2(root=str(tmp_path)), "test") == [(text, 1)]


def test_no_files_are_named_with_what_was_looked_for(tmp_path: Path) -> None:
    message = r"found neither train-\*.parquet nor train.tsv, nor a folder qqp or QQP; .*root.*download: true"
    with pytest.raises(DataError, match=f"nowhere: {message}"):
        QQP(root=str(tmp_path / "nowhere")).dataset("train")
    write_original(tmp_path, "qqp")
    (tmp_path / "QQP/dev.tsv").unlink()
    assert QQP(root=str(tmp_path)).dataset("train")
    with pytest.raises(DataError, match=r"found neither validation-\*.parquet nor dev.tsv"):
        QQP(root=str(tmp_path)).dataset("test")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (" \t1", "an empty text"),
        ("fine\t2", "the label '2'"),
        ("fine\t-1", "the label '-1'"),
        ("fine\t", "the label ''"),
        ("fine", "the label None"),
        ("fine\tor\t1", "the label 'or'"),
    ],
)
def test_a_bad_line_is_named_and_refused_or_skipped(line: str, found: str, write: Callable[..., Path]) -> None:
    root = str(write("dev.tsv", f"sentence\tlabel\ngood\t1\n{line}\ndull\t0\n").parent)
    dataset = SST2(root=root).dataset("test")
    assert dataset[0].inputs == "good"  # type: ignore[union-attr]
    with pytest.raises(DataError, match=f"dev.tsv, line 3: found {found}; .*on_bad_sample: skip"):
        dataset[1]
    task = SST2(root=root, on_bad_sample="skip")
    dataset = task.dataset("test")
    with pytest.warns(SkippedSampleWarning, match=f"1 of 3 samples skipped so far. .*line 3: found {found}"):
        batch = task.collate([dataset[i] for i in range(3)])
    assert (batch.inputs, batch.targets.tolist()) == (["good", "dull"], [1, 0])


@pytest.mark.parametrize(
    ("task", "name", "line", "column"),
    [
        (QQP, "dev.tsv", "1\t2\t3\tone question", "question2"),
        (MNLI, "dev_matched.tsv", "1", "premise"),
        (CoLA, "dev.tsv", "gj04\t1\t", "sentence"),
    ],
)
def test_a_line_with_too_few_columns_is_refused(
    task: Any, name: str, line: str, column: str, write: Callable[..., Path]
) -> None:
    header = {CoLA: "", QQP: LAYOUTS["qqp"].header, MNLI: MNLI_HEADER}[task].translate({32: "\t", 123: "", 125: ""})
    root = write(name, f"{header}\n{line}\n").parent
    with pytest.raises(DataError, match=f"{name}, line 2: found nothing in column '{column}'"):
        task(root=str(root)).dataset("test")[0]


def test_another_files_columns_are_refused(write: Callable[..., Path]) -> None:
    root = write("dev.tsv", "index\tsentence1\tlabel\n0\tfine\t1\n").parent
    with pytest.raises(DataError, match="dev.tsv, line 2: found nothing in column 'sentence'"):
        SST2(root=str(root)).dataset("test")[0]


def test_broken_utf8_is_refused_by_its_line(write: Callable[..., Path]) -> None:
    root = write("dev.tsv", b"sentence\tlabel\nfine\t1\nna\xefve\t0\n").parent
    with pytest.raises(DataError, match=r"dev.tsv, line 3: found bytes that are not utf-8 \(b'\\xefve"):
        SST2(root=str(root)).dataset("test")


def test_no_rows_are_refused(write: Callable[..., Path]) -> None:
    root = write("dev.tsv", "sentence\tlabel\n").parent
    with pytest.raises(DataError, match="validation: found no rows"):
        SST2(root=str(root)).dataset("test")


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"sentence": ["fine"], "label": [-1]}, "row 0: found the label -1"),  # as in the hub's test sets
        ({"sentence": ["fine"], "label": [2]}, "row 0: found the label 2"),
        ({"sentence": [""], "label": [1]}, "row 0: found an empty text"),
        ({"sentence": pa.array([None], pa.string()), "label": [1]}, "row 0: found nothing in column 'sentence'"),
        ({"sentence": [3], "label": [1]}, "row 0: found 3 in column 'sentence'"),
        ({"sentence": ["fine"]}, "found no column label; expected columns sentence, label"),
        ({"text": ["fine"], "label": [1]}, "found no column sentence"),
    ],
)
def test_a_bad_row_of_the_hub_is_refused(columns: dict[str, Any], found: str, tmp_path: Path) -> None:
    parquet.write_table(pa.table(columns), tmp_path / "validation-00000-of-00001.parquet")
    with pytest.raises(DataError, match=f"validation-00000-of-00001.parquet.*{found}"):
        SST2(root=str(tmp_path)).dataset("test")[0]


def test_a_damaged_parquet_file_is_refused(write: Callable[..., Path]) -> None:
    root = write("train-00000-of-00001.parquet", b"PAR1 and so on").parent
    with pytest.raises(DataError, match=r"train-00000-of-00001.parquet: found a damaged file .* Fetch it again"):
        SST2(root=str(root)).dataset("train")


def test_the_hub_is_asked_only_where_download_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def hub(*names: str, split: str) -> Dataset:
        asked.append((*names, split))
        return Dataset.from_dict({"sentence": ["fine", "dull"], "label": [1, 0], "idx": [0, 1]})

    monkeypatch.setattr("datasets.load_dataset", hub)
    assert samples(SST2(root=str(tmp_path), download=True), "test") == [("fine", 1), ("dull", 0)]
    samples(SST2(root=str(tmp_path), download=True, hub="my/glue"), "test")
    assert asked == [(HUB, "sst2", "validation"), ("my/glue", "sst2", "validation")]
    with pytest.raises(DataError, match="download: true"):
        SST2(root=str(tmp_path)).dataset("test")
    write_hub(tmp_path, "sst-2")
    assert len(samples(SST2(root=str(tmp_path), download=True), "test")) == ROWS
    assert len(asked) == 2


def test_a_download_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hub(*names: str, split: str) -> Dataset:
        raise ConnectionError("no route")

    monkeypatch.setattr("datasets.load_dataset", hub)
    with pytest.raises(DataError, match=r"glue/sst2: found a download that failed \(no route\)"):
        SST2(root=str(tmp_path), download=True).dataset("test")


class GLUEConformance(TaskConformance):
    encoder = "itnet-text/token"

    @property
    def name(self) -> str:
        return self.component.removeprefix("itnet-text/glue/")

    def prepare(self, folder: Path) -> dict[str, Any]:
        write_hub(folder, self.name)
        return {"root": str(folder), "validation": 0.25}

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [
            ["a fine film", "a film"][: len(LAYOUTS[self.name].columns)],
            dict.fromkeys(LAYOUTS[self.name].columns, "a fine film"),
        ]

    def user_file(self, folder: Path) -> Path:
        (folder / "mine.txt").write_text("a fine film\n" * len(LAYOUTS[self.name].columns))
        return folder / "mine.txt"


class TestCoLA(GLUEConformance):
    component = "itnet-text/glue/cola"


class TestSST2(GLUEConformance):
    component = "itnet-text/glue/sst-2"


class TestMRPC(GLUEConformance):
    component = "itnet-text/glue/mrpc"


class TestQQP(GLUEConformance):
    component = "itnet-text/glue/qqp"


class TestSTSB(GLUEConformance):
    component = "itnet-text/glue/sts-b"


class TestMNLI(GLUEConformance):
    component = "itnet-text/glue/mnli"


class TestMNLIMismatched(GLUEConformance):
    component = "itnet-text/glue/mnli-mismatched"


class TestQNLI(GLUEConformance):
    component = "itnet-text/glue/qnli"


class TestRTE(GLUEConformance):
    component = "itnet-text/glue/rte"


class TestWNLI(GLUEConformance):
    component = "itnet-text/glue/wnli"


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_configuration_for_the_paper_fits_the_published_layout(name: str, tmp_path: Path, dry_run: Any) -> None:
    write_hub(tmp_path, name)
    sizes = dry_run(
        "glue", f"model.task.root={tmp_path}", f"model.task.name=glue/{name}", "model.encoder={name: token}"
    )
    assert sizes["test"] == ROWS
