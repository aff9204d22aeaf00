from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from itnet_core import DataError, Split
from itnet_registry import create_model
from itnet_series.tasks.forecast import SeriesForecast
from itnet_testing import TaskConformance

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
WINDOW: dict[str, Any] = {"history": 4, "horizon": 2}


@pytest.fixture
def ramp(write: Any) -> str:
    """One series of 100 steps, whose value is the number of the step."""
    return str(write("ramp.csv", "at,x", *(f"{2 * t},{t}" for t in range(100))))


def steps(task: SeriesForecast, split: Split) -> list[list[int]]:
    dataset: Any = task.dataset(split)
    samples = [dataset[i] for i in range(len(dataset))]
    return [[int(x) for x in torch.cat([s.inputs.values, s.label]).flatten()] for s in samples]


def test_windows_are_consecutive_steps(ramp: str) -> None:
    windows = steps(SeriesForecast(file=ramp, time="at", **WINDOW), "train")
    assert windows == [list(range(start, start + 6)) for start in range(72 - 5)]


def test_no_two_parts_share_a_step(ramp: str) -> None:
    task = SeriesForecast(file=ramp, time="at", **WINDOW)
    used = [{x for window in steps(task, split) for x in window} for split in SPLITS]
    assert used == [set(range(72)), set(range(72, 80)), set(range(80, 100))]


def test_with_overlap_every_step_of_a_part_is_forecast_from_the_past(ramp: str) -> None:
    task = SeriesForecast(file=ramp, time="at", overlap=True, **WINDOW)
    parts: list[tuple[Split, int, int]] = [("validation", 72, 80), ("test", 80, 100)]
    for split, first, end in parts:
        assert {x for window in steps(task, split) for x in window[4:]} == set(range(first, end))
        assert all(max(window[:4]) < min(window[4:]) for window in steps(task, split))


def test_a_stride_thins_training_alone(ramp: str) -> None:
    every, third = (SeriesForecast(file=ramp, time="at", stride=stride, **WINDOW) for stride in (1, 3))
    assert steps(third, "train") == steps(every, "train")[::3]
    assert steps(third, "test") == steps(every, "test")


def test_what_a_model_needs_is_of_the_training_part_alone(write: Any) -> None:
    rows = [f"{t},{t % 5}" for t in range(72)]
    first, second = (
        SeriesForecast(file=str(write(name, "at,x", *rows, *later)), time="at", season=5, **WINDOW).config
        for name, later in (
            ("a.csv", [f"{t},0" for t in range(72, 100)]),
            ("b.csv", [f"{t},{t**2}" for t in range(72, 100)]),
        )
    )
    assert first.model_dump(exclude={"file"}) == second.model_dump(exclude={"file"})
    assert first.channels == ("x",)
    assert first.extent == 4


def test_the_naive_error_is_that_of_the_season(ramp: str) -> None:
    assert SeriesForecast(file=ramp, time="at", season=1, **WINDOW).config.naive_error == (1,)
    assert SeriesForecast(file=ramp, time="at", season=7, **WINDOW).config.naive_error == (7,)


def test_mase_of_the_naive_forecast_is_1(ramp: str) -> None:
    """One step ahead, and for the ramp in the test part as in training."""
    task = SeriesForecast(file=ramp, time="at", history=4, horizon=1)
    dataset: Any = task.dataset("test")
    batch = task.collate([dataset[i] for i in range(len(dataset))])
    last = task.collate_targets([s.inputs.values[-1:] for s in map(dataset.__getitem__, range(len(dataset)))])
    metrics = task.metrics()
    for metric in metrics.values():
        metric.update(last.flatten(1), batch.targets)
    assert metrics["mase"].compute() == pytest.approx(1, abs=1e-4)
    std = task.settings.std[0]
    assert metrics["mae"].compute() == pytest.approx(1 / std, abs=1e-4)
    assert metrics["mse"].compute() == pytest.approx(1 / std**2, abs=1e-4)


def test_missing_targets_count_in_neither_loss_nor_metrics(ramp: str) -> None:
    task = SeriesForecast(file=ramp, time="at", **WINDOW)
    targets, prediction = torch.randn(3, 2, 1), torch.randn(3, 2, requires_grad=True)
    holes = targets.clone()
    holes[1] = torch.nan
    loss = task.loss(prediction, holes)
    kept = [0, 2]
    torch.testing.assert_close(loss, task.loss(prediction[kept], targets[kept]))
    [gradient] = torch.autograd.grad(loss, prediction)
    assert not gradient[1].any()
    for name, metric in task.metrics().items():
        metric.update(prediction.detach(), holes)
        alone = task.metrics()[name]
        alone.update(prediction.detach()[kept], targets[kept])
        torch.testing.assert_close(metric.compute(), alone.compute())


def test_many_series_have_windows_of_their_own(write: Any) -> None:
    """One that is shorter than a window has none."""
    rows = [f"s{n},{t},{n},{t}" for n in range(3) for t in range(100 + n)] + ["short,0,9,0"]
    task = SeriesForecast(file=str(write("a.csv", "who,at,x,y", *rows)), series="who", time="at", **WINDOW)
    dataset: Any = task.dataset("train")
    seen = set()
    for i in range(len(dataset)):
        values = torch.cat([dataset[i].inputs.values, dataset[i].label])
        seen.add(tuple(sorted(set(values[:, 0].tolist()))))
        assert values[:, 1].diff().tolist() == [1] * 5
    assert seen == {(0,), (1,), (2,)}


def test_a_forecast_is_in_the_datas_unit_and_by_channel(write: Any) -> None:
    path = str(write("a.csv", "x,y", *(f"{t % 7},{100 + t % 5}" for t in range(100))))
    task = SeriesForecast(file=path, **WINDOW)
    assert task.head["outputs"] == 4
    targets = task.collate_targets([torch.tensor([[1.0, 101.0], [2.0, 102.0]])])
    [record] = task.describe(targets.flatten(1))
    assert record == {"forecast": {"x": pytest.approx([1, 2], abs=1e-4), "y": pytest.approx([101, 102], abs=1e-4)}}


def test_a_users_file_is_forecast_from_its_end(ramp: str, write: Any) -> None:
    task = SeriesForecast(file=ramp, time="at", **WINDOW)
    sample = task.read(write("mine.csv", "at,x", *(f"{t},{t}" for t in range(9))))
    assert sample.inputs.values.flatten().tolist() == [5, 6, 7, 8]
    model = create_model(
        "itnet-nano", depth=1, encoder="series", task={"name": "series-forecast", "file": ramp, "time": "at", **WINDOW}
    )
    [record] = task.describe(model(task.collate([sample]).inputs).detach())
    assert len(record["forecast"]["x"]) == 2
    with pytest.raises(DataError, match="mine.csv: found 3 steps; expected at least 4, the history"):
        task.read(write("mine.csv", "at,x", "0,1", "1,2", "2,3"))


def test_parts_shorter_than_a_window_are_refused(ramp: str) -> None:
    with pytest.raises(DataError, match=r"no window of 4 \+ 9 in a validation part; .*overlap: true"):
        SeriesForecast(file=ramp, time="at", history=4, horizon=9).dataset("train")


def test_a_bad_series_is_one_bad_sample(write: Any) -> None:
    rows = [f"a,{t},{t}" for t in range(80)] + [f"b,{t},{t if t != 5 else 'x'}" for t in range(80)]
    task = SeriesForecast(file=str(write("a.csv", "who,at,x", *rows)), series="who", time="at", **WINDOW)
    dataset: Any = task.dataset("train")
    with pytest.raises(DataError, match="a.csv, line 87, column 'x': found 'x'"):
        dataset[len(dataset) - 1]
    assert dataset[0] is not None


class TestConformance(TaskConformance):
    component = "itnet-series/series-forecast"
    encoder = "itnet-series/series"

    @pytest.fixture(autouse=True)
    def _files(self, ramp: str) -> None:
        self.written: Mapping[str, Any] = {"file": ramp, "time": "at", **WINDOW}

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [[1.0, 2, 3, 4, 5], numpy.arange(6.0), {"values": torch.rand(7, 1), "times": range(7)}]

    def user_file(self, folder: Path) -> Path:
        (folder / "mine.csv").write_text("at,x\n" + "".join(f"{t},{t}\n" for t in range(6)))
        return folder / "mine.csv"
