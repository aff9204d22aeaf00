"""Batches in containers of every kind are mapped, moved and split."""

from __future__ import annotations

from collections import UserDict, namedtuple
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from itnet_core import Edges, Field, ShapeError, map_tensors, move, split_batch


@dataclass(frozen=True)
class Pair:
    left: Any
    right: Any


Named = namedtuple("Named", ["left", "right"])
CONTAINERS = (
    lambda left, right: (left, right),
    Named,
    lambda left, right: {"left": left, "right": right},
    lambda left, right: UserDict(left=left, right=right),
    Pair,
)
trees = st.recursive(
    st.just("tensor") | st.just("list"),
    lambda inner: st.tuples(st.sampled_from(CONTAINERS), inner, inner),
    max_leaves=5,
)


def batch(tree: Any, samples: int) -> Any:
    """Return a batch of numbered samples in the containers of a tree, with a number that all samples share."""
    if tree == "tensor":
        return torch.arange(samples).view(-1, 1)
    if tree == "list":
        return [str(number) for number in range(samples)]
    container, left, right = tree
    return container(batch(left, samples), container(batch(right, samples), 8000))


@given(trees, st.integers(1, 4))
def test_a_batch_is_split_into_its_samples(tree: Any, samples: int) -> None:
    parts = split_batch(batch(tree, samples))
    for number, part in enumerate(parts):
        expected = map_tensors(batch(tree, samples), itemgetter(slice(number, number + 1)))
        assert repr(part) == repr(_only(expected, number))
    assert len(parts) == samples


def _only(value: Any, number: int) -> Any:
    """Keep one entry of each list."""
    if isinstance(value, list):
        return value[number : number + 1]
    if isinstance(value, tuple):
        parts = [_only(part, number) for part in value]
        return Named(*parts) if isinstance(value, Named) else tuple(parts)
    if isinstance(value, Pair):
        return Pair(_only(value.left, number), _only(value.right, number))
    if isinstance(value, dict | UserDict):
        return type(value)({name: _only(part, number) for name, part in value.items()})
    return value


@given(trees)
def test_a_mapped_batch_is_a_copy(tree: Any) -> None:
    given_batch = batch(tree, 3)
    doubled = map_tensors(given_batch, lambda tensor: 2 * tensor)
    assert repr(given_batch) == repr(batch(tree, 3))
    assert repr(doubled) == repr(batch(tree, 3)).replace("[2]", "[4]").replace("[1]", "[2]")


def test_fields_are_split_with_their_edges() -> None:
    field = Field(torch.randn(2, 3, 4), torch.rand(2, 3, 4)).with_edges(
        Edges(torch.tensor([[[1], [0], [1]], [[2], [2], [0]]]), torch.rand(2, 3, 1))
    )
    for number, part in enumerate(split_batch(field)):
        assert torch.equal(part.values[0], field.values[number])
        assert torch.equal(part.points.edges.sources[0], field.points.edges.sources[number])  # type: ignore[union-attr]


def test_parts_of_different_sizes_and_other_objects_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"found samples \{'x': 2, 'y': 3\}; expected equally many"):
        split_batch({"x": torch.zeros(2), "y": torch.zeros(3)})
    with pytest.raises(ShapeError, match=r"found int; .* Override Encoder\.split"):
        split_batch(3)


class Moves:
    """A container that moves itself."""

    def __init__(self, content: Tensor) -> None:
        self.content = content

    def to(self, device: torch.device) -> Moves:
        return Moves(self.content.to(device))


def test_tensors_and_objects_that_move_themselves_are_moved() -> None:
    moved = move((torch.zeros(2), UserDict(x=torch.zeros(1)), [Moves(torch.zeros(3))], "name"), "meta")
    assert (moved[0].device.type, moved[1]["x"].device.type, moved[2][0].content.device.type) == ("meta",) * 3
    assert moved[3] == "name"
