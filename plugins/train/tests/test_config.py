from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from itnet_core import ConfigError, parse
from itnet_train import TrainConfig
from itnet_train.config import MUTABLE_ON_RESUME, TaskSection

README = (Path(__file__).parent.parent / "README.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", README, re.MULTILINE))


def test_the_readme_has_every_field_with_its_default() -> None:
    defaults = TrainConfig().model_dump(mode="json")
    assert defaults == {name: yaml.safe_load(text) for name, text in ROWS.items()}


def test_every_field_is_described() -> None:
    for model in (TrainConfig, TaskSection):
        assert all(field.description for field in model.model_fields.values())


def test_a_configuration_without_the_section_has_the_defaults() -> None:
    assert TrainConfig.from_sections({}) == TrainConfig.from_sections({"train": None}) == TrainConfig()


def test_it_survives_json() -> None:
    config = TrainConfig(betas=(0.8, 0.95), clip=None, patience=3)
    assert parse(TrainConfig, config.model_dump(mode="json"), "train") == config


def test_the_fields_that_may_change_are_fields() -> None:
    assert set(TrainConfig.model_fields) > MUTABLE_ON_RESUME


def test_a_misspelt_field_is_refused_with_what_was_meant() -> None:
    with pytest.raises(ConfigError, match=r"train\.epoch: .* Did you mean 'epochs'\?"):
        parse(TrainConfig, {"epoch": 3}, "train")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("learning_rate", float("nan")),
        ("warmup", 1.0),
        ("final_learning_rate_share", 1.1),
        ("betas", [0.9, 1.0]),
        ("clip", 0.0),
        ("precision", "8-bit"),
        ("max_minutes", float("inf")),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"train\.{field}"):
        parse(TrainConfig, {field: value}, "train")
