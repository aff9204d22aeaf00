from __future__ import annotations

import random

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from itnet_train.data.seeding import derive_seed, seed_cpu, seed_everything

PLACES = st.lists(st.one_of(st.integers(), st.text()), max_size=3)


@given(st.integers(0, 2**70), PLACES, PLACES)
def test_each_place_has_a_seed_of_its_own(seed: int, place: list[int | str], other: list[int | str]) -> None:
    assert 0 <= derive_seed(seed, *place) < 2**63
    assert (derive_seed(seed, *place) == derive_seed(seed, *other)) == (place == other)
    assert derive_seed(seed, *place) != derive_seed(seed + 1, *place)


@pytest.mark.parametrize("seed_all", [seed_cpu, seed_everything])
def test_three_generators_are_seeded(seed_all: object) -> None:
    def draw() -> tuple[float, float, float]:
        seed_all(derive_seed(0, "place"))  # type: ignore[operator]
        return random.random(), numpy.random.rand(), float(torch.rand(()))

    assert draw() == draw()
