from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import IterableDataset

from itnet_core import DataError, Task
from itnet_registry import create
from itnet_train import TrainConfig
from itnet_train.data import Order, Samples, TaskData

SIZES = st.integers(1, 40)


@given(size=SIZES, world=st.integers(1, 3), epoch=st.integers(0, 5), seed=st.integers(0, 9))
def test_processes_share_an_epochs_samples_evenly(size: int, world: int, epoch: int, seed: int) -> None:
    shares = [list(Order(size, seed, epoch=epoch, rank=rank, world=world)) for rank in range(world)]
    assert {len(share) for share in shares} == {size // world}
    indices = [index for share in shares for _, index in share]
    assert len(set(indices)) == len(indices) == size // world * world
    assert set(indices) <= set(range(size))
    assert all(key[0] == epoch for share in shares for key in share)


@given(size=SIZES, skip=st.integers(0, 40), epoch=st.integers(0, 5))
def test_an_order_goes_on_where_it_was_left_and_the_next_epoch_is_whole(size: int, skip: int, epoch: int) -> None:
    whole, rest = Order(size, 0, epoch=epoch), Order(size, 0, epoch=epoch, skip=skip)
    rest.set_epoch(epoch)
    assert len(rest) == size
    assert list(rest) == list(whole)[skip:]
    for order in (whole, rest):
        order.set_epoch(epoch + 1)
    assert list(rest) == list(whole)


def test_epochs_and_seeds_differ_in_order() -> None:
    orders = [[index for _, index in Order(50, seed, epoch=epoch)] for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_a_sample_depends_on_its_key_alone() -> None:
    samples = Samples(create("task", "tones").dataset("train"), seed=0)
    first = samples[3, 7]["samples"]
    torch.rand(5)
    samples[3, 8], samples[4, 7]
    assert torch.equal(samples[3, 7]["samples"], first)
    assert not torch.equal(samples[4, 7]["samples"], first)


def test_a_position_is_a_state() -> None:
    data = TaskData(create("task", "tones"), TrainConfig())
    data.position = (3, 2)
    other = TaskData(create("task", "tones"), TrainConfig())
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
        TaskData(task, TrainConfig()).dataset("validation")
