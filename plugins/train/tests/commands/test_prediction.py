from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from itnet_registry import Prediction
from itnet_train.commands.prediction import write_predictions

SIGNAL = [0.0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0, -1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two signals and a file that is none."""
    (tmp_path / "signals").mkdir()
    for name, content in {"a": SIGNAL, "b": SIGNAL[::-1], "c": "none"}.items():
        (tmp_path / "signals" / f"{name}.json").write_text(json.dumps(content))
    return tmp_path / "signals"


def test_a_folder_is_predicted_to_a_file(itnet: Any, checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    plain = json.loads(itnet("predict", checkpoint, folder, "--json").stdout)["predictions"]
    for name in ("p.csv", "p.jsonl", "p.parquet"):
        result = itnet("predict", checkpoint, folder, "--output", tmp_path / name, "--batch-size", "1")
        assert result.exit_code == 1
        assert result.stdout == f"2 of 3 inputs predicted: {tmp_path / name}\n"
        assert "c.json" in result.stderr
    rows = list(csv.DictReader(io.StringIO((tmp_path / "p.csv").read_text())))
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    table = parquet.read_table(tmp_path / "p.parquet").to_pylist()
    for one, row, line, record in zip(plain, rows, lines, table, strict=True):
        assert {one["input"]} == {row["input"], line["input"], record["input"]}
        if one["error"]:
            assert {one["error"]} == {row["error"], line["error"], record["error"]}
            continue
        assert one["prediction"]["tone"] == int(row["tone"]) == line["tone"] == record["tone"]
        assert float(row["probability"]) == pytest.approx(one["prediction"]["probability"])
        assert record["error"] is None


def test_nothing_is_overwritten_without_being_asked_to(
    itnet: Any, checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_text("mine")
    result = itnet("predict", checkpoint, folder / "a.json", "--output", tmp_path / "p.csv")
    assert result.exit_code == 2
    assert "found a file; expected a new file. Add --overwrite to replace it." in result.stderr
    assert (tmp_path / "p.csv").read_text() == "mine"
    itnet("predict", checkpoint, folder / "a.json", "--output", tmp_path / "p.csv", "--overwrite")
    assert (tmp_path / "p.csv").read_text().startswith("input,tone,probability,error\n")


@pytest.mark.parametrize(
    ("output", "error"), [("p.txt", "the suffix '.txt'"), ("none/p.csv", "no such folder"), ("signals.csv", "a folder")]
)
def test_an_output_that_cannot_be_written_is_refused_first(
    itnet: Any, checkpoint: Path, folder: Path, tmp_path: Path, output: str, error: str
) -> None:
    (tmp_path / "signals.csv").mkdir()
    result = itnet("predict", tmp_path / "no checkpoint", folder, "--output", tmp_path / output, "--overwrite")
    assert result.exit_code == 2
    assert error in result.stderr


def test_standard_input_has_an_input_a_line(itnet: Any, checkpoint: Path, folder: Path) -> None:
    result = itnet("predict", checkpoint, "-", "--json", input=f"{folder / 'a.json'}\n\n{folder / 'b.json'}\n")
    assert [Path(one["input"]).name for one in json.loads(result.stdout)["predictions"]] == ["a.json", "b.json"]


def test_the_bytes_of_a_file_are_no_standard_input(itnet: Any, checkpoint: Path) -> None:
    result = itnet("predict", checkpoint, "-", input=b"a.json\n" + b"\xff\xd8\xff\xe0\n")
    assert result.exit_code == 2
    assert "standard input: found bytes that are not UTF-8 in line 2" in result.stderr


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_predictions([Prediction("a", {"value": {1, 2}})], tmp_path / "p.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_columns_are_those_of_all_records(tmp_path: Path) -> None:
    found = [Prediction("a", {"x": [1, 2]}), Prediction("b", error="bad"), Prediction("c", {"y": {"z": 1.5}})]
    write_predictions(found, tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text() == ('input,x,y,error\na,"[1, 2]",,\nb,,,bad\nc,,"{""z"": 1.5}",\n')


def test_it_imports_no_lightning(checkpoint: Path, folder: Path) -> None:
    code = (
        "import sys; from itnet_registry.cli.app import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'lightning', 'torchmetrics', 'transformers', 'matplotlib', 'pandas', 'torchvision', 'sympy', 'fastapi'}))"
    )
    command = [sys.executable, "-c", code, "predict", str(checkpoint), str(folder / "a.json")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[0].startswith(f"{folder / 'a.json'}: tone")
    assert result.stdout.splitlines()[-1] == "[]"
