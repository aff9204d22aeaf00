from __future__ import annotations

from typing import Any

import pytest

from itnet_core import ConfigError
from itnet_train.commands.overrides import apply_overrides


@pytest.mark.parametrize(
    ("config", "assignment", "expected"),
    [
        ({"train": {"epochs": 3, "seed": 1}}, "train.epochs=5", {"train": {"epochs": 5, "seed": 1}}),
        ({}, "train.epochs=5", {"train": {"epochs": 5}}),
        ({"model": {"kernel": "mlp"}}, "model.kernel.heads=2", {"model": {"kernel": {"name": "mlp", "heads": 2}}}),
        ({"model": {"kernel": {"name": "mlp"}}}, "model.kernel=other", {"model": {"kernel": "other"}}),
        ({}, "train.betas=[0.9, 0.95]", {"train": {"betas": [0.9, 0.95]}}),
        ({}, "train.clip=null", {"train": {"clip": None}}),
        ({}, "train.clip=", {"train": {"clip": None}}),
        ({}, "train.epochs=yes", {"train": {"epochs": "yes"}}),
        ({}, "train.epochs=2020-99-99", {"train": {"epochs": "2020-99-99"}}),
        ({}, "task.root=a=b", {"task": {"root": "a=b"}}),
        ({}, "task={name: digits, seed: 2}", {"task": {"name": "digits", "seed": 2}}),
        ({"trunk": [{"width": 8}, {"repeat": 2}]}, "trunk.1.repeat=3", {"trunk": [{"width": 8}, {"repeat": 3}]}),
        ({"kernels": ["mlp", "attention"]}, "kernels.1=mlp", {"kernels": ["mlp", "mlp"]}),
        ({"kernels": ["mlp"]}, "kernels.0.heads=2", {"kernels": [{"name": "mlp", "heads": 2}]}),
    ],
)
def test_a_value_is_yaml_at_a_dotted_path(config: dict[str, Any], assignment: str, expected: dict[str, Any]) -> None:
    assert apply_overrides(config, [assignment]) == expected


def test_the_later_goes_over_the_earlier_and_the_original_stays() -> None:
    config = {"train": {"epochs": 3}}
    assert apply_overrides(config, ["train.epochs=4", "train.epochs=5"]) == {"train": {"epochs": 5}}
    assert config == {"train": {"epochs": 3}}


@pytest.mark.parametrize(
    ("assignment", "found"),
    [
        ("train.epochs", "no assignment"),
        ("=3", "no assignment"),
        ("train..epochs=3", "no assignment"),
        ("train.betas=[0.9", "expected"),
        ("train.epochs=!!timestamp foo", "core schema"),
        ("train.epochs=!!int ''", "as a value of !!int"),
        ("train.betas=" + "[" * 3000, "more than 100"),
        ("train.betas=[&a [1], *b]", "the alias"),
        ("train." * 3000 + "epochs=3", "a path of 3001 parts"),
        ("train.epochs.more=3", "3 at train.epochs"),
        ("trunk.2.width=3", "'2' as an index into 2 entries at trunk"),
        ("trunk.-1.width=3", "'-1' as an index"),
        ("trunk.width=3", "'width' as an index"),
    ],
)
def test_what_is_no_assignment_is_refused(assignment: str, found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        apply_overrides({"train": {"epochs": 3}, "trunk": [{}, {}]}, [assignment])
