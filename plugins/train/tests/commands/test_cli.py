from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Itnet = Callable[..., Any]
SIGNAL = [0.1, 0.9, 0.2, -0.8, 0.0, 0.9, 0.1, -0.9, 0.0, 1.0, 0.1, -1.0]


@pytest.fixture
def run(itnet: Itnet, config_file: Path, tmp_path: Path) -> Path:
    result = itnet("train", config_file, "train.epochs=1", "--output", tmp_path / "run")
    assert result.exit_code == 0, result.output
    return tmp_path / "run"


def test_json_is_one_line_on_stdout_and_the_rest_is_on_stderr(itnet: Itnet, config_file: Path) -> None:
    result = itnet("train", config_file, "train.epochs=2", "model.kernel.hidden=4", "task.size=64", "--json")
    assert result.exit_code == 0, result.output
    [line] = result.stdout.splitlines()
    metrics = json.loads(line)
    assert (metrics["epochs"], metrics["steps"]) == (2, 8)
    assert metrics["output"] == "runs/toy"
    lines = [line.split() for line in result.stderr.splitlines()]
    assert [line[:2] for line in lines[1:]] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert "accuracy" in lines[1]
    assert lines[1][-1] == "*"


def test_a_run_leaves_nothing_in_the_working_directory_but_its_own(itnet: Itnet, config_file: Path) -> None:
    assert itnet("train", config_file, "train.epochs=1").exit_code == 0
    assert {path.as_posix() for path in Path().rglob("*") if len(path.parts) < 3} == {"runs", "runs/toy"}


def test_a_dry_run_checks_all_and_writes_nothing(itnet: Itnet, config_file: Path, run: Path) -> None:
    result = itnet("train", config_file, "--dry-run", "--json")
    assert result.exit_code == 0
    metrics = json.loads((run / "metrics.json").read_text())
    sizes = {"train": 96, "validation": 96, "test": 96}
    counts = {name: metrics[name] for name in ("parameters", "trained_parameters")}
    assert json.loads(result.stdout).items() >= {**counts, "samples": sizes}.items()
    assert not list(Path().iterdir())
    refused = itnet("train", config_file, "--dry-run", "--output", run)
    assert refused.exit_code == 1
    assert "an existing run" in refused.stderr


def test_resume_goes_on(itnet: Itnet, config_file: Path) -> None:
    assert itnet("train", config_file, "train.max_minutes=1e-9").exit_code == 0
    result = itnet("train", config_file, "--resume", "--json")
    assert json.loads(result.stdout)["steps"] == 18
    assert "this run has ended" in itnet("train", config_file, "--resume").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train.epoch=3"], 2, "train.epoch: found a field that does not exist"),
        (["train.epoch=3"], 2, "Did you mean 'epochs'?"),
        (["trian.epochs=3"], 2, "Did you mean 'train'?"),
        (["model.kernel.head=3"], 2, "Did you mean 'heads'?"),
        (["model.kernal=mlp"], 2, "Did you mean 'kernel'?"),
        (["task.siz=3"], 2, "Did you mean 'size'?"),
        (["train.epochs"], 2, "expected key=value"),
        (["train.epochs=many"], 2, "train.epochs: found 'many'"),
        (["model.task=null"], 2, "model.head: found nothing"),
        (["model.task=null", "model.head={name: classify, classes: 2}"], 2, "model.task: found no task"),
        (["train.devices=3", "train.accelerator=mps"], 2, "train.accelerator: found 'mps' with 3 devices"),
        (["--resume", "--overwrite"], 2, "exclude each other"),
        (["model.head={classes: 5}"], 2, "model.heads.signal.classes: found 5; expected 3, as the task's data require"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_said(
    itnet: Itnet, config_file: Path, arguments: list[str], code: int, message: str
) -> None:
    result = itnet("train", config_file, *arguments)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert not list(Path().iterdir())


def test_evaluate_gives_the_metrics_of_the_run(itnet: Itnet, run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    for split in ("test", "validation"):
        result = itnet("evaluate", run / "best", "--split", split, "--batch-size", 7, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)[split] == pytest.approx(metrics[split], rel=1e-5)
    assert "accuracy" in itnet("evaluate", run / "best").stdout
    assert not list(Path().iterdir())


def test_evaluate_takes_another_sampler(itnet: Itnet, run: Path) -> None:
    scores = [
        json.loads(itnet("evaluate", run / "best", "--json", *more).stdout)
        for more in ([], ["--sampler", "full"], ["--sampler", "{name: full}"])
    ]
    assert scores[0] == scores[1] == scores[2]
    refused = itnet("evaluate", run / "best", "--sampler", "{name: full, points: 3}")
    assert refused.exit_code == 2
    assert "sampler.points: found a field that does not exist" in refused.stderr


def test_evaluate_takes_fields_of_the_task(itnet: Itnet, run: Path) -> None:
    evaluated = [
        json.loads(itnet("evaluate", run / "best", "--split", "train", f"noise={noise}", "--json").stdout)
        for noise in (0.0, 0.0, 5.0)
    ]
    assert evaluated[0] == evaluated[1] != evaluated[2]
    refused = itnet("evaluate", run / "best", "nois=1")
    assert refused.exit_code == 2
    assert "Did you mean 'noise'?" in refused.stderr


def test_predict_names_a_bad_file_and_predicts_the_others(itnet: Itnet, run: Path, tmp_path: Path) -> None:
    good, bad, short = (tmp_path / f"{name}.json" for name in ("good", "bad", "short"))
    good.write_text(json.dumps(SIGNAL))
    bad.write_text("no JSON")
    short.write_text("[]")
    missing = tmp_path / "missing.json"
    result = itnet("predict", run / "best", good, bad, missing, short, good, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)["predictions"]
    assert [item["input"] for item in told] == [str(path) for path in (good, bad, missing, short, good)]
    assert [item["prediction"] is None for item in told] == [False, True, True, True, False]
    assert told[0]["prediction"].keys() == {"tone", "probability"}
    assert told[0] == told[4]
    for path, item in zip((bad, missing), told[1:3], strict=True):
        assert str(path) in item["error"]
        assert str(path) in result.stderr

    plain = itnet("predict", run / "best", good)
    assert plain.exit_code == 0
    assert plain.stdout.startswith(f"{good}: tone ")


def test_a_checkpoint_that_is_not_there(itnet: Itnet, tmp_path: Path) -> None:
    for arguments in (["evaluate", tmp_path / "none"], ["predict", tmp_path / "none", "file"]):
        result = itnet(*arguments)
        assert result.exit_code == 1
        assert f"{tmp_path / 'none'}: found nothing" in result.stderr


@pytest.mark.parametrize("device", ["nonsense", "meta", "cuda:99", "x" * 10_000])
def test_a_device_that_is_not_there_is_refused(itnet: Itnet, run: Path, device: str) -> None:
    result = itnet("predict", run / "best", "file", "--device", device)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: --device: found '{device[:100]}")
    assert len(result.stderr) < 1000


def test_an_unknown_modality_is_refused(itnet: Itnet, run: Path) -> None:
    result = itnet("evaluate", run / "best", "--modality", "image")
    assert result.exit_code == 2
    assert "model.tasks: found tasks of signal; expected a task of image" in result.stderr


def test_what_the_system_refuses_is_one_line(itnet: Itnet, config_file: Path, run: Path) -> None:
    for arguments, code in (
        (["train", config_file, "--output", config_file / "run"], 1),
        (["train", config_file, "--output", "x" * 300], 1),
        (["train", config_file, "--dry-run", "--output", "x" * 300], 1),
        (["train", "x" * 300 + ".yaml"], 2),
        (["evaluate", "x" * 300], 1),
        (["predict", run / "best" / "itnet.json" / "best", "file"], 1),
        (["predict", run / "best", "x" * 300], 1),
    ):
        result = itnet(*arguments)
        assert result.exit_code == code, result.output
        assert len(result.stderr.splitlines()) == 1
        assert result.stdout == ""


def test_names_that_a_terminal_would_obey_or_cannot_show(itnet: Itnet, run: Path, tmp_path: Path) -> None:
    name = "\x1b[2J\n\u202e\udce9"
    shown = r"\x1b[2J\n\u202e\udce9"
    good, missing = tmp_path / f"{name}.json", tmp_path / f"{name}.none"
    good.write_text(json.dumps(SIGNAL))
    result = itnet("predict", run / "best", good, missing)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{tmp_path}/{shown}.json: tone ")
    assert result.stderr.startswith(f"{tmp_path}/{shown}.none: DataError: ")
    assert len((result.stdout + result.stderr).splitlines()) == 2
    result = itnet("predict", run / "best", good, missing, "--json")
    assert result.stdout.isascii()
    assert [item["input"] for item in json.loads(result.stdout)["predictions"]] == [str(good), str(missing)]
    refused = itnet("train", tmp_path / "toy.yaml", "--output", tmp_path / f"{name}.run")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert f"{shown}.run: found a name that is not UTF-8" in refused.stderr
