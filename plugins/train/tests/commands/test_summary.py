from __future__ import annotations

import json
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from itnet_registry.api import _registry
from itnet_train.commands import first_config, summary
from itnet_train.engine import rehearsal

Itnet = Callable[..., Any]


def costs(itnet: Itnet, config_file: Path, *overrides: str) -> dict[str, Any]:
    result = itnet("train", config_file, "--dry-run", "--json", *overrides)
    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads(result.stdout)
    return content


def test_a_dry_run_measures_a_step(itnet: Itnet, config_file: Path) -> None:
    found = costs(itnet, config_file)
    step = found["steps"]["signal"]
    assert (step["points"], step["batch_size"], step["steps_per_epoch"]) == (12, 16, 96 // 16)
    assert step["measured_samples"] == 16
    assert step["seconds"] > 0
    assert step["memory"] > 2**20
    assert found["seconds"] == pytest.approx(3 * step["seconds"] * (6 + 96 / 16 / 3), rel=0.1, abs=0.06)
    assert found["warnings"] == []


def test_memory_is_that_of_the_process(start_itnet: Callable[..., Any], config_file: Path) -> None:
    ballast = b"1" * 2**31  # which `getrusage` of a process that is started here includes
    found = json.loads(start_itnet("train", config_file, "--dry-run", "--json").stdout)
    assert found["steps"]["signal"]["memory"] < len(ballast)


def test_flops_grow_with_the_batch(itnet: Itnet, config_file: Path) -> None:
    flops = [costs(itnet, config_file, f"train.batch_size={n}")["steps"]["signal"]["flops"] for n in (8, 16)]
    assert flops[1] == 2 * flops[0] > 0


def test_a_slow_step_is_estimated_from_two_samples(
    itnet: Itnet, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "PATIENCE", 0.0)
    step = costs(itnet, config_file)["steps"]["signal"]
    assert (step["measured_samples"], step["batch_size"]) == (2, 16)
    assert "estimated from 2 samples" in itnet("train", config_file, "--dry-run").stdout


def test_what_a_task_keeps_is_read_once(itnet: Itnet, config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from itnet_toy.tones import Signals  # type: ignore[import-not-found]

    read, kept = Signals.__getitem__, set[int]()

    def read_slowly(self: Any, index: int) -> Any:
        if index not in kept:
            time.sleep(0.05)
            kept.add(index)
        return read(self, index)

    monkeypatch.setattr(Signals, "__getitem__", read_slowly)
    found = costs(itnet, config_file)
    step = found["steps"]["signal"]
    assert step["first_reading"] == pytest.approx(96 * 0.05, rel=0.3)
    assert step["seconds"] < 16 * 0.05
    assert found["seconds"] == pytest.approx(step["first_reading"] + 3 * step["seconds"] * (6 + 96 / 16 / 3), rel=0.1)


@pytest.mark.parametrize(
    ("override", "steps"),
    [
        ("train.tasks={signal: {samples: 40}}", 2),
        ("train.trainer={limit_train_batches: 3}", 3),
        ("train.trainer={limit_train_batches: 0.5}", 3),
        ("train.batch_size=1000", 1),
    ],
)
def test_the_steps_of_an_epoch_are_those_of_the_run(itnet: Itnet, config_file: Path, override: str, steps: int) -> None:
    assert costs(itnet, config_file, override)["steps"]["signal"]["steps_per_epoch"] == steps


def test_a_long_run_is_a_warning(itnet: Itnet, config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "LONG", 0.0)
    result = itnet("validate", config_file)
    assert result.exit_code == 0
    assert "warning: the run would take" in result.stderr
    assert "12 points" in result.stderr


def test_without_fused_sums_a_run_on_the_cpu_names_them(
    itnet: Itnet, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ITNET_DISABLE", "itnet-native")
    _registry.cache_clear()
    try:
        [warning] = costs(itnet, config_file)["warnings"]
        assert warning.endswith("several times faster: pip install itnet-native.")
        assert costs(itnet, config_file, "model.kernel=gaussian")["warnings"] == []
        assert "pip install itnet-native" in itnet("doctor").stdout.replace("\n", " ").replace("  ", "")
        assert itnet("doctor").exit_code == 0
    finally:
        _registry.cache_clear()


def test_validate_takes_the_first_step(itnet: Itnet, config_file: Path) -> None:
    config_file.write_text(config_file.read_text().replace("task: tones", "task: {name: tones, refused: 1}"))
    accepted = itnet("validate", config_file, "--no-data")
    assert accepted.exit_code == 0, accepted.output
    refused = itnet("validate", config_file)
    assert refused.exit_code == 1
    assert "signal 1: found silence" in refused.stderr
    assert str(config_file) in refused.stderr


def test_validate_needs_no_section_of_training(itnet: Itnet, config_file: Path, sections: dict[str, Any]) -> None:
    config_file.write_text(yaml.safe_dump({"model": sections["model"]}))
    result = itnet("validate", config_file)
    assert result.exit_code == 0
    assert "about" in result.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ("{limit_train_batches: 0}", "at least one batch in limit_train_batches"),
        ("{limit_val_batches: 0}", "at least one batch in limit_val_batches"),
        ("{limit_train_batches: many}", "values that Lightning's Trainer takes"),
        ("{val_check_interval: 7}", "val_check_interval: found 7; expected at most 6 steps"),
    ],
)
def test_arguments_that_would_fail_later_are_refused(
    itnet: Itnet, config_file: Path, trainer: str, message: str
) -> None:
    refused = itnet("train", config_file, "--dry-run", f"train.trainer={trainer}")
    assert refused.exit_code == 2
    assert message in refused.stderr


def test_several_tasks_have_a_step_each(itnet: Itnet, config_file: Path, sections: dict[str, Any]) -> None:
    model = deepcopy(sections["model"])
    del model["encoder"], model["task"]
    model |= {"encoders": {"signal": "signal", "echo": "echo"}, "tasks": {"signal": "tones", "echo": "echoes"}}
    config_file.write_text(yaml.safe_dump({**sections, "model": model}))
    assert costs(itnet, config_file)["steps"].keys() == {"signal", "echo"}
    assert "echo: step" in itnet("validate", config_file).stdout


def test_init_takes_a_task_of_another_plugin(itnet: Itnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from itnet_toy.tones import Tones

    from itnet_core import Detection

    def look(cls: type, path: Path) -> Detection | None:
        files = list(path.glob("*.tone")) if cls is Tones else []
        model = {"preset": "itnet-nano", "encoder": "signal", "depth": 1}
        return Detection("three tones", len(files), [(model, {"size": 32})]) if files else None

    monkeypatch.setattr(Tones, "detect", classmethod(look))
    monkeypatch.setattr(first_config, "STEPS", 20)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.tone").touch()
    result = itnet("init", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    written = yaml.safe_load(Path("mine.yaml").read_text())
    assert written["task"] == {"name": "itnet-toy/tones", "size": 32}
    assert written["train"]["batch_size"] == 8
    assert written["train"]["epochs"] == 5
    assert itnet("train", "mine.yaml").exit_code == 0


def test_durations_have_a_unit_that_suits_them() -> None:
    units = [summary.duration(seconds).split()[1] for seconds in (1.0, 100.0, 10_000.0, 1_000_000.0)]
    assert units == ["s", "min", "h", "days"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_samples_that_are_skipped_are_no_failure(itnet: Itnet, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for number in range(20):
            path = tmp_path / "pets" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if number % 4:
                path.write_bytes(b"no image")
            else:
                Image.new("RGB", (8, 8)).save(path)
    task = {"name": "image-folder", "root": str(tmp_path / "pets"), "image_size": 8, "on_bad_sample": "skip"}
    model = {"preset": "itnet-nano", "depth": 1, "encoder": "conv-stem"}
    path = tmp_path / "pets.yaml"
    for seed in range(3):
        train = {"seed": seed, "accelerator": "cpu", "batch_size": 16}
        path.write_text(yaml.safe_dump({"model": model, "task": task, "train": train}))
        assert itnet("validate", path).exit_code == 0
