from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from itnet_core import DataError, Split
from itnet_registry import create_model, load_model, save_model
from itnet_series.tasks.table import SeriesTable, SeriesTableRegression
from itnet_tasks import SkippedSampleWarning
from itnet_testing import TaskConformance

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@pytest.fixture
def long(write: Any) -> str:
    """Thirty series of two channels and 3 to 5 steps, in three classes and ten groups."""
    rows = []
    for number in range(30):
        rows += [
            f"s{number},{2 * t},{number % 3}.5,{t},{'abc'[number % 3]},p{number // 3}" for t in range(3 + number % 3)
        ]
    return str(write("long.csv", "who,at,x,y,kind,patient", *rows))


def table(path: str, **options: Any) -> SeriesTable:
    return SeriesTable(train=path, series="who", time="at", label="kind", **options)


def places(task: Any, split: Split) -> list[str]:
    return [one.place for one in task.dataset(split).sources]


def test_the_configuration_is_completed_from_the_training_series(long: str) -> None:
    task = table(long, test=long, channels=("y", "x"))
    assert task.classes == ("a", "b", "c")
    c = task.config
    assert c.channels == ("y", "x")
    assert c.mean == pytest.approx(
        (sum(sum(range(3 + n % 3)) for n in range(30)) / 120, (0.5 * 3 + 1.5 * 4 + 2.5 * 5) / 12)
    )
    assert c.extent == 10
    assert task.encoder_options == {"channels": 2, "mean": list(c.mean), "std": list(c.std), "unit": 5}
    assert task.head == {"name": "itnet-core/classify", "classes": 3}
    given = table(long, mean=(0.0, 0.0), extent=4.0).config
    assert (given.mean, given.extent) == ((0, 0), 4)
    assert given.std is not None


def test_statistics_leave_out_the_test_split(write: Any) -> None:
    path = str(write("a.csv", "0,1,label", *(f"{n},{n},{'ab'[n % 2]}" for n in range(20))))
    for fold in range(5):
        task = SeriesTable(train=path, layout="wide", test_fold=fold)
        kept = [one.values for one in task.training().sources]
        assert len(kept) == 16
        assert task.config.mean == (pytest.approx(torch.cat(kept).mean().item()),)


def test_a_checkpoint_needs_no_data(long: str, tmp_path: Path, write: Any) -> None:
    model = create_model(
        "itnet-nano",
        depth=1,
        task={
            "name": "series-table",
            "train": long,
            "series": "who",
            "time": "at",
            "label": "kind",
            "channels": ["x", "y"],
        },
        encoder="series",
    )
    save_model(model, tmp_path / "model")
    Path(long).unlink()
    loaded = load_model(tmp_path / "model").eval()
    config: Any = loaded.config
    options = json.loads(json.dumps(config["tasks"]["series"]))
    assert options.pop("name") == "itnet-series/series-table"
    task = SeriesTable(SeriesTable.Config(**options))
    batch = task.collate([task.read(write("mine.csv", "at,x,y", "7,1,2", "9,,4"))])
    torch.testing.assert_close(loaded(batch.inputs), model.eval()(batch.inputs))
    assert task.describe(loaded(batch.inputs))[0]["label"] in "abc"


def test_a_configuration_may_be_written_before_the_data_are_there(tmp_path: Path) -> None:
    task = SeriesTable(train=str(tmp_path / "a.ts"))
    assert task.config.mean is None
    with pytest.raises(DataError, match="a.ts: found no such file"):
        _ = task.encoder_options
    (tmp_path / "a.ts").write_text("@classLabel true a b\n@data\n1,2:a\n3,4:b\n")
    task = SeriesTable(train=str(tmp_path / "a.ts"), test=str(tmp_path / "a.ts"))
    assert task.encoder_options["mean"] == [2.5]


def test_splits_are_disjoint(long: str) -> None:
    task = table(long, validation=0.25)
    parts = {split: set(places(task, split)) for split in SPLITS}
    assert [len(part) for part in parts.values()] == [18, 6, 6]
    assert len(set.union(*parts.values())) == 30


def test_no_split_divides_a_group(long: str) -> None:
    task = table(long, group_by="patient", validation=0.25)
    groups: list[set[str]] = []
    for split in SPLITS:
        dataset: Any = task.dataset(split)
        groups.append({one.group for one in dataset.sources})
    assert sum(map(len, groups)) == len(set.union(*groups)) == 10


def test_files_for_validation_and_test_are_taken_whole(long: str, write: Any) -> None:
    other = str(write("other.csv", "who,at,y,x,kind", "v,0,1,2,b"))
    task = table(long, validation_file=other, test=other)
    assert [len(task.dataset(split)) for split in SPLITS] == [30, 1, 1]
    for split in ("validation", "test"):
        sample: Any = task.dataset(split)[0]
        assert sample.inputs.values.tolist() == [[2, 1]]  # in the order of the training file
        assert sample.label == 1


def test_classes_are_those_that_a_ts_file_declares(write: Any) -> None:
    path = str(write("a.ts", "@classLabel true up down left", "@data", "1,2:down", "3,4:up", "5,6:down"))
    task = SeriesTable(train=path, test=path)
    assert task.classes == ("up", "down", "left")
    dataset: Any = task.dataset("test")
    assert [dataset[i].label for i in range(3)] == [1, 0, 1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c,0,x,1,a", "long.csv, line 6, column 'x': found 'x'"),
        ("c,0,1,1,z", "series 'c': found the label 'z'; expected one of 'a', 'b'"),
        ("c,0,1,1,", "series 'c': found the label None"),
        ("c,0,,,a", "series 'c': found no value"),
    ],
)
def test_a_bad_series_is_named_and_refused_or_skipped(row: str, message: str, write: Any) -> None:
    path = str(write("long.csv", "who,at,x,y,kind", "a,0,1,2,a", "a,1,1,2,a", "b,0,1,2,b", "b,1,1,2,b", row))
    dataset = table(path, test=path, classes=("a", "b")).dataset("test")
    with pytest.raises(DataError, match=f"{message}.*on_bad_sample: skip"):
        dataset[2]
    skipping = table(path, test=path, classes=("a", "b"), on_bad_sample="skip")
    assert skipping.config.mean == (1, 2)
    with pytest.warns(SkippedSampleWarning, match="1 of 3 samples skipped so far"):
        batch = skipping.collate([skipping.dataset("test")[i] for i in range(3)])
    assert batch.targets.tolist() == [0, 1]


def test_only_training_is_augmented_and_loaders_go_to_workers(long: str) -> None:
    task = table(long, test=long, validation=0.5, jitter=0.1, warp=0.1)
    source: Any = task.training().sources[0]
    for training, augment in ((True, True), (False, True), (True, False)):
        loader = table(long, test=long, jitter=0.1, warp=0.1, augment=augment).loader(training=training)
        loaded = pickle.loads(pickle.dumps(loader))(source)
        assert torch.equal(loaded.values, source.values) == (not (training and augment))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["who,at,x,y", "a,0,1,2", "b,0,1,2"], "mine.csv: found 2 series; expected one. A Predictor"),
        (["at,x", "0,1"], r"found no column 'y' \(channels\)"),
        (["at,x,y", "0,1,z"], "mine.csv, line 2, column 'y': found 'z'"),
        (["at,x,y", "0,1,1", "0,1,1"], "mine.csv, line 3, column 'at': found '0', the time of another step"),
    ],
)
def test_a_users_file_that_does_not_fit_is_refused(lines: list[str], message: str, long: str, write: Any) -> None:
    with pytest.raises(DataError, match=message):
        table(long, channels=("x", "y")).read(write("mine.csv", *lines))


def test_a_users_ts_file_has_the_dimensions_of_training(long: str, write: Any) -> None:
    training = str(write("a.ts", "@classLabel true a b", "@data", "1,2:3,4:a", "1,2:3,5:b"))
    task = SeriesTable(train=training, test=training)
    assert task.read(write("mine.ts", "@data", "1,2:3,?")).inputs.values.shape == (2, 2)
    with pytest.raises(DataError, match="mine.ts: found no dimension 1"):
        task.read(write("mine.ts", "@data", "1,2"))


def test_numbers_are_scaled_by_those_of_training(write: Any) -> None:
    path = str(write("a.csv", "0,1,2,height", *(f"{n},{n},{n},{10 * n}" for n in range(5))))
    task = SeriesTableRegression(train=path, test=path, layout="wide", label="height")
    assert task.centre == 20
    assert task.scale == pytest.approx(200**0.5)
    batch = task.collate([task.dataset("test")[i] for i in range(5)])
    torch.testing.assert_close(batch.targets.mean(), torch.tensor(0.0))
    torch.testing.assert_close(batch.targets.std(correction=0), torch.tensor(1.0))
    assert task.describe(torch.zeros(1, 1)) == [{"value": 20}]
    bad = str(write("b.csv", "0,1,height", "1,2,tall"))
    dataset = SeriesTableRegression(train=path, test=bad, layout="wide", label="height").dataset
    with pytest.raises(DataError, match="b.csv, line 2: found the label 'tall'; expected a finite number"):
        dataset("test")[0]


class TestClassification(TaskConformance):
    component = "itnet-series/series-table"
    encoder = "itnet-series/series"

    @pytest.fixture(autouse=True)
    def _files(self, long: str) -> None:
        self.written: Mapping[str, Any] = {
            "train": long,
            "series": "who",
            "time": "at",
            "label": "kind",
            "channels": ("x", "y"),
        }

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [numpy.random.rand(5, 2), {"values": [[1, None], [2, 3]], "times": ["2024-01", "2024-02"]}]

    def user_file(self, folder: Path) -> Path:
        (folder / "mine.csv").write_text("at,x,y\n0,1,2\n3,,1\n")
        return folder / "mine.csv"


class TestRegression(TestClassification):
    component = "itnet-series/series-table-regression"

    @pytest.fixture(autouse=True)
    def _files(self, write: Any) -> None:
        rows = [f"{n},{t},{n * t},{t},{n}" for n in range(20) for t in range(4)]
        path = str(write("numbers.csv", "who,at,x,y,kind", *rows))
        self.written = {"train": path, "series": "who", "time": "at", "label": "kind"}
