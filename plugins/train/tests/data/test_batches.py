from __future__ import annotations

from collections import UserDict, namedtuple
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

from itnet_core import Batch, DataError, Field
from itnet_registry import create
from itnet_train.data.batches import TaskBatch, collate

Pair = namedtuple("Pair", "left right")
META = torch.device("meta")


class Encoded(UserDict[str, torch.Tensor]):
    """A container that is no pytree but can be moved, as tokenizers return."""

    def to(self, device: torch.device) -> Encoded:
        return Encoded({name: tensor.to(device) for name, tensor in self.items()})


@pytest.mark.parametrize(
    "inputs",
    [
        torch.zeros(2),
        {"a": torch.zeros(2), "b": [torch.zeros(1), "text", 3, None]},
        (torch.zeros(2), Pair(torch.zeros(1), {"deep": torch.zeros(1)})),
        Field(torch.zeros(1, 3, 2), torch.zeros(1, 3, 4)),
    ],
    ids=["tensor", "dict", "tuples", "field"],
)
def test_all_tensors_of_any_pytree_are_moved_and_the_rest_stays(inputs: Any) -> None:
    batch = Batch(inputs, torch.zeros(2, dtype=torch.int64))
    moved = TaskBatch("signal", batch).to(META).batch
    before, after = tree_leaves(batch), tree_leaves(moved)
    assert type(moved.inputs) is type(inputs)
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        if isinstance(old, torch.Tensor):
            assert new.device == META
            assert (new.shape, new.dtype) == (old.shape, old.dtype)
        else:
            assert new is old


def test_a_container_that_is_no_pytree_moves_itself() -> None:
    moved = TaskBatch("signal", Batch(Encoded(ids=torch.zeros(2)), None)).to(META).batch
    assert moved.inputs["ids"].device == META
    assert moved.targets is None


def test_an_error_is_raised_where_the_batch_is_used() -> None:
    task = create("task", "tones")
    error = DataError("signal 1", found="silence", expected="a tone")
    parcel = collate(task, [task.dataset("train")[0], error]).to(META)
    with pytest.raises(DataError, match="signal 1: found silence"):
        parcel.batch  # noqa: B018
