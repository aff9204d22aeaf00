from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import IterableDataset

from itnet_core import ConfigError, DataError, Task
from itnet_registry import create
from itnet_train import TrainConfig, train
from itnet_train.data.batch_sampler import SampleKey
from itnet_train.data.datamodule import BatchDataset, TaskData


def tones() -> dict[str, Task]:
    return {"signal": create("task", "tones")}


def test_a_sample_depends_on_its_key_alone() -> None:
    tasks = tones()
    parcels = BatchDataset(tasks, {"signal": tasks["signal"].dataset("train")}, seed=0)

    def samples(*keys: tuple[int, int]) -> torch.Tensor:
        return parcels[[SampleKey("signal", *key) for key in keys]].batch.inputs["samples"]

    first = samples((3, 7))[0]
    torch.rand(5)
    assert torch.equal(samples((3, 8), (3, 7))[1], first)
    assert not torch.equal(samples((4, 7))[0], first)


def test_a_position_is_a_state() -> None:
    data = TaskData(tones(), TrainConfig())
    data.position = (3, 2)
    other = TaskData(tones(), TrainConfig())
    other.load_state_dict(data.state_dict())
    assert other.position == (3, 2)


class Stream(IterableDataset[int]):
    def __iter__(self) -> Any:
        return iter(range(3))


@pytest.mark.parametrize(("samples", "found"), [([], "no samples"), (Stream(), "Stream, which has no length")])
def test_splits_that_cannot_be_trained_on_are_refused(
    monkeypatch: pytest.MonkeyPatch, samples: Any, found: str
) -> None:
    task: Task = create("task", "tones")
    monkeypatch.setattr(type(task), "dataset", lambda self, split: samples)
    with pytest.raises(DataError, match=rf"Tones\.dataset\('validation'\): found {found}"):
        TaskData({"signal": task}, TrainConfig()).dataset("signal", "validation")


def test_buckets_of_samples_without_lengths_are_refused(sections: dict[str, Any], tmp_path: Path) -> None:
    sections["train"]["bucket"] = 4
    with pytest.raises(ConfigError, match=r"train\.bucket: found 4, with samples of one length"):
        train(sections, tmp_path / "run")
