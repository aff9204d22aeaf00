from __future__ import annotations

from pathlib import Path
from typing import Any

from itnet_train import train


def test_patience_ends_a_run_that_does_not_get_better(sections: dict[str, Any], tmp_path: Path) -> None:
    sections["train"] |= {"epochs": 9, "learning_rate": 1e-30, "patience": 2}
    metrics = train(sections, tmp_path / "run")
    assert (metrics["stopped"], metrics["best_epoch"], metrics["epochs"]) == ("patience", 1, 3)


def test_time_that_is_up_ends_a_run_with_all_that_a_run_leaves(sections: dict[str, Any], tmp_path: Path) -> None:
    sections["train"] |= {"max_minutes": 1e-9}
    metrics = train(sections, tmp_path / "run")
    assert (metrics["stopped"], metrics["steps"]) == ("max_minutes", 1)
    assert metrics["test"].keys() == {"loss", "accuracy"}
