"""`itnet init` on a small folder of each kind of data: the configuration that it writes trains as it stands."""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile
from typer.testing import CliRunner

from itnet_registry import load_config
from itnet_registry.cli.app import app

WORDS = ("a", "fine", "film", "with", "good", "actors", "and", "a", "dull", "story", "that", "never", "ends")


def images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):
        path = folder / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (21, 25, 3), dtype=np.uint8)).save(path)


def recordings(folder: Path) -> None:
    for number in range(24):
        path = folder / ("low", "high")[number % 2] / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(path, 8000, (8000 * np.sin(np.arange(1000 + 100 * number) / (1 + number % 2))).astype(np.int16))


def meshes(folder: Path) -> None:
    import trimesh

    for number in range(24):
        path = folder / ("ball", "box")[number % 2] / f"{number}.off"
        path.parent.mkdir(parents=True, exist_ok=True)
        (trimesh.creation.icosphere(1), trimesh.creation.box())[number % 2].export(path)


def reviews(folder: Path) -> None:
    rows = [{"id": n, "review": _sentence(), "verdict": random.choice(["good", "bad"])} for n in range(60)]
    _write_table(folder / "reviews.csv", rows)


def ratings(folder: Path) -> None:
    for split, count in (("train", 60), ("test", 10)):
        lines = [json.dumps({"text": _sentence(), "stars": random.random()}) for _ in range(count)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines))


def prose(folder: Path) -> None:
    (folder / "book.txt").write_text("\n\n".join(" ".join(_sentence() for _ in range(4)) for _ in range(60)))


def machines(folder: Path) -> None:
    rows: list[dict[str, object]] = []
    for run in range(24):
        state = ("ok", "worn")[run % 2]
        rows += [{"run": run, "seconds": t, "current": math.sin(t / 3), "state": state} for t in range(30)]
    _write_table(folder / "machines.csv", rows)


def load(folder: Path) -> None:
    rows = [{"date": f"2024-01-{1 + n // 24:02}T{n % 24:02}:00", "load": math.sin(n / 5)} for n in range(500)]
    _write_table(folder / "load.csv", rows)


def ramps(folder: Path) -> None:
    rows = [{"label": n % 2, **{str(t): n % 2 + t * random.random() for t in range(12)}} for n in range(40)]
    _write_table(folder / "ramps.csv", rows)


def scattered(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):
        x = rng.uniform(0, 5, (20, 2))
        np.savez(folder / f"{number}.npz", positions=x, inputs=x.sum(1), targets=np.sin(x))


def grids(folder: Path) -> None:
    u = np.random.default_rng(0).normal(size=(24, 256, 1))
    np.savez(folder / "flows.npz", inputs=u, targets=u**2, grid=np.array([16, 16]))


def graphs(folder: Path) -> None:
    lines = (json.dumps({"nodes": 4 + n % 2, "edges": [[0, 1], [1, 2]], "label": f"{n % 2}"}) for n in range(40))
    (folder / "graphs.jsonl").write_text("\n".join(lines))


def _sentence() -> str:
    return " ".join(random.choices(WORDS, k=10))


def _write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def itnet(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def slow(*values: object) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("write", "task", "found"),
    [
        (images, "itnet-image/image-folder", "24 images in 2 class folders (cat, dog), of 25 × 21 pixels"),
        (recordings, "itnet-audio/audio-folder", "24 recordings in 2 class folders (high, low), of 0.1 to 0.4 s"),
        slow(meshes, "itnet-pointcloud/mesh-folder", "24 meshes in 2 class folders (ball, box)"),
        (reviews, "itnet-text/text-table", "2 classes (bad, good) in the column 'verdict'"),
        slow(ratings, "itnet-text/text-table-regression", "numbers from 0.0"),
        slow(prose, "itnet-text/language-model", "a language model learns their next byte"),
        (machines, "itnet-series/series-table", "24 series of up to 30 steps"),
        slow(load, "itnet-series/series-forecast", "a forecast of 12 steps from 50"),
        slow(ramps, "itnet-series/series-table", "40 series of up to 12 steps"),
        slow(scattered, "itnet-operators/field-folder", "24 fields with targets, the first of 20 points"),
        (grids, "itnet-operators/field-folder", "24 fields with targets, the first of 256 points"),
        (graphs, "itnet-graph/graph-file", "graphs of up to 5 nodes"),
    ],
)
def test_the_configuration_for_a_folder_validates_and_trains(
    write: Callable[[Path], None], task: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    random.seed(0)
    Path("mine").mkdir()
    write(Path("mine"))
    result = itnet("init", "mine")
    assert result.exit_code == 0, result.output
    assert found in result.stdout
    assert "now: itnet train mine.yaml" in result.stdout
    sections = load_config("mine.yaml")
    assert sections["model"]["task"]["name"] == task
    assert "  # about " in Path("mine.yaml").read_text()
    trained = itnet("train", "mine.yaml", "train.epochs=1", "--json")
    assert trained.exit_code == 0, trained.output
    assert json.loads(trained.stdout)["steps"] >= 1


def test_a_file_is_not_replaced_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine.yaml").write_text("mine")
    result = itnet("init", "mine")
    assert (result.exit_code, Path("mine.yaml").read_text()) == (2, "mine")
    assert "--overwrite" in result.stderr


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1.png", "1 .png, which no installed task reads; expected data of a task. itnet-image reads images, one"),
        ("notes.docx", "1 .docx, which no installed task reads"),
        (None, "found no files; expected data of a task"),
    ],
)
def test_data_that_no_task_takes_is_described(name: str | None, expected: str, tmp_path: Path) -> None:
    if name is not None:
        (tmp_path / name).touch()
    result = itnet("init", tmp_path, "--output", tmp_path / "mine.yaml")
    assert result.exit_code == 1
    assert expected in result.stderr
    assert not (tmp_path / "mine.yaml").exists()


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    assert "found no such folder" in itnet("init", tmp_path / "none").stderr
