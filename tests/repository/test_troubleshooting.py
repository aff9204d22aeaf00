"""The commands of docs/troubleshooting.md produce the messages that it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from itnet_registry.api import _registry
from itnet_registry.cli.app import app

PAGE = Path(__file__).parents[2] / "docs/troubleshooting.md"
BLOCK = re.compile(r'^```(\w+)(?: title="(.*?)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(PAGE.read_text())


def run(line: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Run `NAME=VALUE itnet …` in this process; return the exit code and what it wrote."""
    words = shlex.split(line)
    with monkeypatch.context() as patch:
        while "=" in words[0]:
            patch.setenv(*words.pop(0).split("=", 1))
        assert words[0] == "itnet"
        _registry.cache_clear()
        done = CliRunner().invoke(app, words[1:])
    _registry.cache_clear()
    return done.exit_code, done.output


def pattern(shown: str) -> str:
    """Return the regular expression of a message: `…` stands for anything, and any white space for any other."""
    parts = [r"\s+".join(re.escape(word) for word in part.split()) for part in shown.split("…")]
    return r"[\s\S]*?".join(rf"\s*{part}\s*" for part in parts)


def test_each_message_is_the_one_that_its_command_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    commands = 0
    for language, title, text in BLOCKS:
        if title:
            Path(title).write_text(text)
        elif language == "python":
            exec(compile(text, PAGE.name, "exec"), {})
        elif language == "console":
            for line, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
                if "--device cuda" in line and torch.cuda.is_available():
                    continue
                code, written = run(line, monkeypatch)
                assert re.fullmatch(pattern(shown), written), f"{line} wrote\n{written}"
                assert (code == 0) == ("error" not in shown.lower()), line
                commands += 1
    assert commands >= 15
