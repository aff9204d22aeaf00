from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from itnet_image.splits import stratified


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=80),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 9),
)
def test_a_split_is_stratified_and_takes_no_class_away(labels: list[int], share: float, seed: int) -> None:
    numbers = torch.tensor(labels)
    rest, part = stratified(numbers, share, seed)
    assert sorted([*rest.tolist(), *part.tolist()]) == list(range(len(labels)))
    for label in set(labels):
        size, taken = labels.count(label), int((numbers[part] == label).sum())
        assert taken < size
        assert taken == 0 if size == 1 else taken >= 1
        assert abs(taken - share * size) <= 1


def test_the_seed_decides() -> None:
    labels = torch.arange(100) % 4
    assert torch.equal(stratified(labels, 0.2, seed=1)[1], stratified(labels, 0.2, seed=1)[1])
    assert not torch.equal(stratified(labels, 0.2, seed=1)[1], stratified(labels, 0.2, seed=2)[1])
