from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from itnet_core import ConfigError
from itnet_train import TrainConfig, train
from itnet_train.engine.loggers import create_loggers
from itnet_train.storage.directory import RunDirectory


def test_loggers_and_the_profiler_write_into_the_run_and_leave_with_it(
    sections: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    sections["train"] |= {"epochs": 1, "loggers": ["csv", "tensorboard"], "profiler": "simple", "log_every": 1}
    train(sections, run)
    header = next(run.glob("csv/*/metrics.csv")).read_text().splitlines()[0].split(",")
    assert {"train/loss", "validation/accuracy"} <= set(header)
    assert "optimizer_step" in (run / "profile/fit-profile.txt").read_text()
    sections["train"] |= {"loggers": [], "profiler": None}
    train(sections, run, overwrite=True)
    assert not any(folder.exists() for folder in RunDirectory(run).logs)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_is_refused_with_the_line_that_installs_it(
    name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itnet_train.engine.loggers.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"train\.loggers: .*pip install 'itnet-train\[{name}\]'"):
        create_loggers(TrainConfig(loggers=(name,)), RunDirectory(tmp_path))
