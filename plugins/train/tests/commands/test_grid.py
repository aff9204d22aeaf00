from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itnet_core import ConfigError
from itnet_train.commands.grid import LONGEST, SampledRange, grid_points, parse_sweep, run_name

VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


def test_values_are_yaml_with_commas_between_them() -> None:
    parsed = parse_sweep(
        ["a=1e-3,null", "b={name: mlp, heads: 2},attention", "c=[1, 2],[3]", "d=0..2,7", "e=-1..1", "f=x"]
    )
    assert parsed == {
        "a": [0.001, None],
        "b": [{"name": "mlp", "heads": 2}, "attention"],
        "c": [[1, 2], [3]],
        "d": [0, 1, 2, 7],
        "e": [-1, 0, 1],
        "f": ["x"],
    }


@given(st.dictionaries(st.sampled_from(["a.x", "b.x", "c"]), st.lists(VALUES, min_size=1, max_size=3), min_size=1))
def test_points_are_all_combinations_of_the_values(swept: dict[str, list[Any]]) -> None:
    points = grid_points(swept)
    assert [tuple(point.values()) for point in points] == list(product(*swept.values()))


@given(st.lists(st.dictionaries(st.just("k"), VALUES, min_size=1), min_size=2, max_size=2))
def test_different_points_have_different_names_of_one_folder(points: list[dict[str, Any]]) -> None:
    names = [run_name(point, ["k"]) for point in points]
    assert all(len(name) <= LONGEST + 9 and "/" not in name and name.isprintable() for name in names)
    if json.dumps(points[0]) != json.dumps(points[1]) and not any(isinstance(point["k"], str) for point in points):
        assert names[0] != names[1]


def test_names_have_the_fields_that_vary() -> None:
    point = {"train.seed": 1, "model.task.seed": 2, "train.learning_rate": 0.003, "train.epochs": 3}
    assert run_name(point, ["train.learning_rate", "train.seed"]) == "learning_rate=0.003,seed=1"
    assert run_name(point, ["train.seed", "model.task.seed"]) == "train.seed=1,model.task.seed=2"
    assert run_name(point, []) == "run"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log(1e-4,1e-2)", SampledRange(1e-4, 1e-2, "log")),
        ("uniform(-1, 2)", SampledRange(-1.0, 2.0, "uniform")),
        ("int(2,8)", SampledRange(2, 8, "int")),
    ],
)
def test_ranges_are_sampled(text: str, expected: SampledRange) -> None:
    assert parse_sweep([f"train.warmup={text}"]) == {"train.warmup": expected}
    with pytest.raises(ConfigError, match="--trials"):
        grid_points({"train.warmup": expected})


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["train.seed"], "no assignment"),
        (["train.seed="], "found no values"),
        (["train.seed=0,1", "train.seed=2"], "set twice"),
        (["train.seed=[0"], "values in YAML"),
        (["train.seed=log(0,1)"], "above 0"),
        (["train.seed=uniform(2,1)"], "a smaller and a larger number"),
        (["train.seed=int(0,1.5)"], "two integers"),
    ],
)
def test_what_is_wrong_is_said(assignments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_sweep(assignments)
