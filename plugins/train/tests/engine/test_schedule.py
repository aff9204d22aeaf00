from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from itnet_core import ConfigError, parse
from itnet_train import TrainConfig
from itnet_train.engine.schedule import create_schedules, learning_rate_factor

SCHEDULES = ("cosine", "constant", "step", "wsd")


def factors(count: int, **fields: Any) -> list[float]:
    config = parse(TrainConfig, fields, "train")
    return [learning_rate_factor(step, count, config) for step in range(count)]


def test_values_of_warmup_and_cosine() -> None:
    values = factors(14, warmup=4 / 14, final_learning_rate_share=0.1)
    assert values[:4] == [0.25, 0.5, 0.75, 1.0]
    assert values[4] == 1.0  # the cosine begins at its peak
    assert values[13] == pytest.approx(0.1)
    middle = factors(11, warmup=0.0, final_learning_rate_share=0.2)
    assert middle[::5] == pytest.approx([1.0, 0.6, 0.2])


def test_values_of_the_other_schedules() -> None:
    assert factors(4, warmup=0.5, schedule="constant") == [0.5, 1.0, 1.0, 1.0]
    step = {"name": "step", "every": 2, "factor": 0.5}
    assert factors(10, warmup=0.0, epochs=5, schedule=step) == [1.0] * 4 + [0.5] * 4 + [0.25] * 2
    wsd = factors(10, warmup=0.2, final_learning_rate_share=0.0, schedule={"name": "wsd", "decay": 0.4})
    assert wsd == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0])


@given(name=st.sampled_from(SCHEDULES), steps=st.integers(1, 200), warmup=st.floats(0, 0.99), final=st.floats(0, 1))
def test_it_rises_then_falls_within_its_bounds(name: str, steps: int, warmup: float, final: float) -> None:
    values = factors(steps, epochs=100, warmup=warmup, final_learning_rate_share=final, schedule=name)
    rising = round(warmup * steps)
    assert values[:rising] == sorted(values[:rising])
    assert values[rising:] == sorted(values[rising:], reverse=True)
    assert all(0 < value <= 1 for value in values[:rising])
    assert all(min(final, 1e-3) - 1e-12 <= value <= 1 for value in values[rising:])


def test_a_plateau_drops_the_rate_after_its_warmup() -> None:
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=1.0)
    schedule = {"name": "plateau", "patience": 1, "factor": 0.5}
    fields = {"warmup": 0.4, "schedule": schedule, "final_learning_rate_share": 0.2}
    warmup, plateau = (s["scheduler"] for s in create_schedules(optimizer, 10, parse(TrainConfig, fields, "t"), "max"))
    rates = []
    for score in (0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        warmup.step()
        plateau.step(score)
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("linear", r"train\.schedule: .*'cosine'"),
        ({"name": "step", "every": 0}, r"train\.schedule\.step\.every"),
        ({"name": "cosine", "every": 3}, r"train\.schedule\.cosine\.every"),
    ],
)
def test_bad_schedules_are_refused(schedule: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(TrainConfig, {"schedule": schedule}, "train")
