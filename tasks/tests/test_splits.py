from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from itnet_core import ConfigError
from itnet_tasks import HeldOut, Labelled, assign_folds, hold_out, split

CLASSES = st.lists(st.integers(0, 5), min_size=1, max_size=80)


def numbered(labels: list[int], groups: list[str] | None = None) -> Labelled:
    """Samples that are their own numbers."""
    return Labelled(torch.arange(len(labels)), torch.tensor(labels), groups)


@given(labels=CLASSES, share=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_a_split_is_stratified_and_takes_no_class_away(labels: list[int], share: float, seed: int) -> None:
    rest, part = split(numbered(labels), share, seed)
    assert sorted([*rest.sources.tolist(), *part.sources.tolist()]) == list(range(len(labels)))  # type: ignore[union-attr]
    for label in set(labels):
        size, taken = labels.count(label), int((part.labels == label).sum())  # type: ignore[union-attr]
        assert taken < size
        assert taken == 0 if size == 1 else taken >= 1
        assert abs(taken - share * size) <= 1


@given(labels=CLASSES, count=st.integers(2, 7), seed=st.integers(0, 9))
def test_folds_divide_each_class_evenly(labels: list[int], count: int, seed: int) -> None:
    dealt = assign_folds(numbered(labels), count, seed)
    assert dealt.bincount(minlength=count).max() - dealt.bincount(minlength=count).min() <= 1
    for label in set(labels):
        sizes = dealt[torch.tensor(labels) == label].bincount(minlength=count)
        assert sizes.max() - sizes.min() <= 1


@given(groups=st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=60), seed=st.integers(0, 9))
def test_no_split_divides_a_group(groups: list[str], seed: int) -> None:
    labelled = numbered([0] * len(groups), groups)
    for rest, part in (split(labelled, 0.3, seed), hold_out(labelled, HeldOut(test_fold=seed % 5))):
        assert not set(rest.groups or ()) & set(part.groups or ())
        assert sorted([*(rest.groups or ()), *(part.groups or ())]) == sorted(groups)
    rest, part = split(labelled, 0.3, seed)
    assert len(rest.groups or ()) > 0
    assert (len(part.groups or ()) > 0) == (len(set(groups)) > 1)


def test_numbers_and_objects_are_split_at_random() -> None:
    for labels in (torch.rand(50), [{"a": 1}] * 50):
        rest, part = split(Labelled(list(range(50)), labels), 0.2, seed=0)
        assert (len(rest.labels), len(part.labels)) == (40, 10)
        assert sorted([*rest.sources, *part.sources]) == list(range(50))
        assert list(part.sources) != list(range(10))


@pytest.mark.parametrize("groups", [None, [str(i // 2) for i in range(100)]])
def test_the_seed_decides(groups: list[str] | None) -> None:
    labelled = numbered([i % 4 for i in range(100)], groups)
    first, again, other = (split(labelled, 0.2, seed=seed)[1].sources for seed in (1, 1, 2))
    assert torch.equal(first, again)  # type: ignore[arg-type]
    assert not torch.equal(first, other)  # type: ignore[arg-type]


def test_the_folds_of_a_cross_validation_test_each_sample_once() -> None:
    labelled = numbered([i % 3 for i in range(31)])
    tests = [hold_out(labelled, HeldOut(test_folds=4, test_fold=fold))[1].sources.tolist() for fold in range(4)]  # type: ignore[union-attr]
    assert sorted(chain(*tests)) == list(range(31))
    with pytest.raises(ConfigError, match="test_fold: found 4; expected 0 to 3"):
        hold_out(labelled, HeldOut(test_folds=4, test_fold=4))
