"""The command `itnet explain`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from itnet_registry import create_model, save_model
from itnet_registry.cli.app import app


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "best"
    save_model(
        create_model("itnet-nano", depth=1, encoder={"name": "patch", "patch_size": 2}, task="digits"), str(folder)
    )
    return folder


def test_a_checkpoint_is_explained_by_samples_of_its_task(checkpoint: Path) -> None:
    result = CliRunner().invoke(app, ["explain", str(checkpoint), "--samples", "4", "--ablation", "20", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["samples"], len(found["layers"][0]["heads"])) == (4, 4)
    assert set(found["ablation"]["position alone"]) == {"accuracy"}
    folder = checkpoint.with_name("best-explained")
    assert found["output"] == str(folder)
    report = (folder / "report.html").read_text()
    content = json.loads(report.split('id="data">')[1].split("</script>")[0])
    assert content["images"]["0"].startswith("data:image/png;base64,")


def test_files_are_explained(checkpoint: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for number, file in enumerate(files):
        Image.new("L", (8, 8), 80 * number).save(file)
    output = tmp_path / "out"
    result = CliRunner().invoke(app, ["explain", str(checkpoint), *map(str, files), "--output", str(output)])
    assert result.exit_code == 0, result.output
    assert "3 samples" in result.output
    figures = {f"{name}.{suffix}" for name in ("shares", "position", "spectrum") for suffix in ("png", "svg")}
    assert {file.name for file in output.iterdir()} == {"report.html", "explanation.json", *figures}


def test_one_file_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "7.png")
    result = CliRunner().invoke(app, ["explain", str(checkpoint), str(tmp_path / "7.png")])
    assert result.exit_code != 0
    assert "at least two" in f"{result.output} {result.exception}"
