"""The README's example runs as it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from itnet_registry import available

README = (Path(__file__).parent.parent / "README.md").read_text()
COMMANDS = re.findall(r"^    itnet (.+)$", README, re.MULTILINE)


@pytest.mark.skipif("itnet-image/digits" not in available("task"), reason="itnet-image is not installed")
def test_the_example_trains_and_evaluates(itnet: Callable[..., Any]) -> None:
    example, *_ = re.findall(r"```yaml\n(.+?)```", README, re.DOTALL)
    Path("digits.yaml").write_text(example)
    training = [command.split() for command in COMMANDS if command.startswith("train")]
    assert len(training) == 2
    for command in training:
        short = [] if any("epochs" in item for item in command) else ["train.epochs=1"]
        result = itnet(*command, *short, "train.batch_size=256", "model.depth=1")
        assert result.exit_code == 0, result.output
    [evaluation] = [command.split() for command in COMMANDS if command.startswith("evaluate")]
    assert "accuracy" in itnet(*evaluation).stdout


def test_every_option_of_train_is_there(itnet: Callable[..., Any]) -> None:
    options = set(re.findall(r"--[a-z-]+", itnet("train", "--help").output)) - {"--help"}
    assert options
    assert options == {option for option in options if f"`{option}" in README}
