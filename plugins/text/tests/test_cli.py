"""The commands, in this process."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from typer.testing import CliRunner

from itnet_registry.cli.app import app
from itnet_text.encoders.token import TokenEncoder
from itnet_text.tasks.glue_average import METRICS

Write = Callable[..., Path]


def itnet(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Any, code: int = 1) -> str:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return str(result.stderr)


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("a.txt", "what a film\n\nfilm film\n", None),
        ("a.csv", 'label,text\nxqz,"what a film"\nxqz,film film\n', "text"),
        ("a.tsv", "xqz\twhat a film\nxqz\tfilm film\nxqz\n", "1"),
        ("a.jsonl", '{"text": "what a film"}\n{"text": "film film"}\n{"label": "xqz"}\n', "text"),
    ],
)
def test_a_tokenizer_is_learned_from_texts(name: str, content: str, column: str | None, write: Write) -> None:
    path = write(name, content)
    output = path.parent / "new/tokenizer.json"
    options = [] if column is None else ["--column", column]
    result = itnet("train-tokenizer", path, *options, "--vocabulary", 300, "--output", output, "--json")
    assert result.exit_code == 0, result.output
    tokenizer = Tokenizer.from_file(str(output))
    assert json.loads(result.stdout) == {"output": str(output), "texts": 2, "tokens": tokenizer.get_vocab_size()}
    assert "Ġfilm" in tokenizer.get_vocab()
    assert not any("xq" in token for token in tokenizer.get_vocab())
    assert TokenEncoder(8, tokenizer=str(output))(["a film"]).values.shape == (1, 2, 8)
    assert list(output.parent.iterdir()) == [output]


def test_several_files_and_case_and_encoding(write: Write, tmp_path: Path) -> None:
    files = [write("a.txt", "Öl Öl".encode("latin-1")), write("b.txt", "Ei Ei".encode("latin-1"))]
    output = tmp_path / "tokenizer.json"
    result = itnet("train-tokenizer", *files, "--case", "--encoding", "latin-1", "--output", output)
    assert result.stdout.splitlines()[:2] == [f"output: {output}", "texts: 2"]
    tokenizer = Tokenizer.from_file(str(output))
    assert tokenizer.encode("Ei").tokens == ["ĠEi"]
    assert len(tokenizer.encode("Öl").tokens) == 1
    assert tokenizer.encode("ei").tokens != ["ĠEi"]


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.txt", None, [], "a.txt: found No such file"),
        ("a.txt", "\n \n", [], "a.txt: found no text"),
        ("a.txt", b"fine\n\xff\n", [], "a.txt, line 2: found bytes that are not utf-8"),
        ("a.csv", "text\nfine\n", ["--column", "review"], "a.csv: found no column 'review'"),
        ("a.doc", "fine\n", ["--column", "text"], "found a file ending in '.doc'"),
    ],
)
def test_no_texts_leave_the_tokenizer_that_is_there(
    name: str, content: Any, options: list[str], message: str, write: Write, tmp_path: Path
) -> None:
    path = write(name, content or "")
    if content is None:
        path.unlink()
    output = write("tokenizer.json", "old")
    assert message in refused(itnet("train-tokenizer", path, *options, "--output", output))
    assert output.read_text() == "old"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_an_output_that_is_no_file_stays(make: Callable[[Path], None], write: Write, tmp_path: Path) -> None:
    output = tmp_path / "output"
    make(output)
    kind = stat.S_IFMT(output.stat().st_mode)
    message = refused(itnet("train-tokenizer", write("a.txt", "a film\n"), "--vocabulary", 300, "--output", output))
    assert "output: found something other than a file" in message
    assert stat.S_IFMT(output.stat().st_mode) == kind


def test_a_write_that_is_cut_off_leaves_the_tokenizer_that_is_there(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, output = write("a.txt", "a film\n"), write("tokenizer.json", "old")
    whole = Path.write_text

    def cut_off(path: Path, text: str, **options: Any) -> None:
        whole(path, text[:9], **options)
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", cut_off)
    assert refused(itnet("train-tokenizer", path, "--output", output)) == "error: no space left\n"
    assert output.read_text() == "old"
    assert {item.name for item in output.parent.iterdir()} == {"a.txt", "tokenizer.json"}


def test_what_the_system_refuses_is_one_line_and_no_name_is_obeyed(write: Write, tmp_path: Path) -> None:
    path = write("\x1b[2J\udce9.txt", "a film\n")
    for output in (path / "t.json", tmp_path / ("x" * 300)):
        message = refused(itnet("train-tokenizer", path, "--vocabulary", 300, "--output", output))
        assert len(message.splitlines()) == 1
        assert "\x1b" not in message
    shown = itnet("train-tokenizer", path, "--vocabulary", 300, "--output", tmp_path / "\x1b\udce9.json").stdout
    assert shown.startswith(f"output: {tmp_path}/\\x1b\\udce9.json\ntexts: 1\n")


def test_a_vocabulary_without_room_is_refused(write: Write, tmp_path: Path) -> None:
    path = write("a.txt", "a film\n")
    refused(itnet("train-tokenizer", path, "--vocabulary", 256, "--output", tmp_path / "t.json"), code=2)


@pytest.fixture
def runs(write: Write) -> list[Path]:
    """Runs of all tasks: 0.5 in each, but for CoLA's 0.05."""
    actual = []
    for name, metrics in METRICS.items():
        score = 0.05 if name == "cola" else 0.5
        metric = write(f"{name}/metrics.json", json.dumps({"test": dict.fromkeys(metrics, score)}))
        manifest = {"config": {"tasks": {"text": {"name": f"itnet-text/glue/{name}"}}}}
        write(f"{name}/best/itnet.json", json.dumps(manifest))
        actual.append(metric.parent)
    return actual


def test_glue_average(runs: list[Path]) -> None:
    result = itnet("glue-average", *runs, "--json")
    scores = json.loads(result.stdout)
    assert scores["average"] == pytest.approx(45)
    assert len(scores) == 10
    lines = itnet("glue-average", *runs).stdout.splitlines()
    assert (lines[0].split(), lines[-1].split()) == (["cola", "5.0"], ["average", "45.0"])


def test_glue_average_names_what_is_missing(runs: list[Path], tmp_path: Path) -> None:
    assert "found no cola; expected scores of all nine tasks" in refused(itnet("glue-average", *runs[1:], "--json"))
    assert "nowhere: found no metrics.json" in refused(itnet("glue-average", tmp_path / "nowhere"))
