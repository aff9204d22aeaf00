from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from itnet_registry import load_config
from itnet_train import train
from itnet_train.errors import RunError

Same = Callable[[Path, Path], None]


def test_a_run_that_is_there_is_not_overwritten(sections: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    sections["train"]["epochs"] = 1
    train(sections, run)
    (run / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="Give --resume to go on with it, or --overwrite to start again"):
        train(sections, run)
    sections["train"]["seed"] = 1
    train(sections, run, overwrite=True)
    assert load_config(run / "config.yaml")["train"]["seed"] == 1
    assert (run / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}], ids=["new", "resume", "overwrite"])
def test_files_that_are_not_of_a_run_are_never_touched(
    sections: dict[str, Any], tmp_path: Path, options: dict[str, bool]
) -> None:
    """A configuration alone does not make a directory a run."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(sections))
    with pytest.raises(RunError, match="files that are not of a run"):
        train(sections, tmp_path, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_a_run_from_before_positions_and_scan_orders_is_resumed(sections: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    sections["train"]["epochs"] = 1
    metrics = train(sections, run)
    config = load_config(run / "config.yaml")
    assert (config["model"].pop("position"), config["model"].pop("scan")) == ("none", "none")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert train(sections, run, resume=True) == metrics


def test_a_killed_save_is_mended_when_the_run_goes_on(
    sections: dict[str, Any], tmp_path: Path, assert_same_weights: Same
) -> None:
    """The process died between putting the old checkpoint aside and giving the new one its name."""
    run, whole = tmp_path / "run", tmp_path / "whole"
    train(sections, whole)
    train(sections, run)
    (run / "metrics.json").unlink()
    (run / "best").rename(run / ".best.previous")
    (run / ".last.0123abcd.part").mkdir()
    train(sections, run, resume=True)
    assert_same_weights(run / "best", whole / "best")
    assert not list(run.glob(".*"))
