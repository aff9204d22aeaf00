from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from itnet_core import DataError
from itnet_tasks import Labelled, LabelledDataset, SkippedSampleWarning


def load(source: str) -> str:
    if source.startswith("bad"):
        raise DataError(source, found="nonsense", expected="sense", hint="Repair it.")
    return source.upper()


LABELLED = Labelled(["one", "bad-1", "two", "bad-2"], torch.tensor([3, 1, 4, 1]))


def test_samples_are_loaded_when_they_are_asked_for() -> None:
    dataset = LabelledDataset(LABELLED, load)
    assert len(dataset) == 4
    assert dataset[2] == ("TWO", 4)


def test_refusing_names_the_sample_and_both_hints() -> None:
    dataset = LabelledDataset(LABELLED, load, "refuse")
    with pytest.raises(DataError, match=r"bad-1: found nonsense.*Repair it\. Or .*on_bad_sample: skip"):
        dataset[1]


def test_skipping_counts_and_names_each_once() -> None:
    dataset = LabelledDataset(LABELLED, load, "skip")
    for index, message in ((1, "1 of 4 samples skipped so far. bad-1"), (3, "2 of 4 samples skipped so far. bad-2")):
        with pytest.warns(SkippedSampleWarning, match=message):
            assert dataset[index] is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dataset[1] is None


def _first(samples: list[Any]) -> Any:
    return samples[0]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_worker_processes_load_it(start: str) -> None:
    dataset = LabelledDataset(Labelled(torch.arange(6).view(3, 2), torch.arange(3)), torch.neg)
    loader = DataLoader(dataset, batch_size=1, collate_fn=_first, num_workers=1, multiprocessing_context=start)
    assert [(sample.inputs.tolist(), sample.label) for sample in loader] == [([0, -1], 0), ([-2, -3], 1), ([-4, -5], 2)]
