"""`itnet new-plugin`: what it writes installs and passes its tests, and nothing that exists is written over."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *map(str, command)], capture_output=True, text=True, env=os.environ | variables
    )


KINDS = ("encoder", "kernel", "sampler", "evaluator", "head", "task", "encoder+task", "kernel+sampler")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind != "kernel" else []) for kind in KINDS]
)
def test_a_new_plugin_installs_and_passes_its_tests(kind: str, tmp_path: Path) -> None:
    name = kind.replace("+", "-")
    done = run("itnet_registry", "new-plugin", f"Itnet_New.{name}", "--kind", kind, "--path", tmp_path)
    assert done.returncode == 0, done.stderr
    folder, site = tmp_path / f"itnet-new-{name}", tmp_path / "site"
    done = run("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", site, folder)
    assert done.returncode == 0, done.stderr
    options = ("-v", "-p", "no:cacheprovider", "--rootdir", folder)
    done = run("pytest", *options, folder / "tests", PYTHONPATH=str(site))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b\d\d passed", done.stdout), done.stdout  # one test for each check
    if kind == "encoder+task":
        assert "batched_prediction" in done.stdout  # which needs an encoder of the task's inputs
        assert "names no encoder" not in done.stdout
    for command in (["check"], ["format", "--diff"]):
        done = run("ruff", *command, "--isolated", "--line-length", "120", folder)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_what_is_written_is_typed(tmp_path: Path) -> None:
    names = {"every": ",".join(KINDS[:6]), **{kind: kind for kind in KINDS[:6]}}
    for name, kind in names.items():
        done = run("itnet_registry", "new-plugin", f"itnet-new-{name}", "--kind", kind, "--path", tmp_path)
        assert done.returncode == 0, done.stderr
    done = run("itnet_registry", "new-plugin", "itnet-3d", "--kind", "kernel", "--path", tmp_path)
    assert "class Itnet3dKernel(Kernel)" in (tmp_path / "itnet-3d/itnet_3d/kernel.py").read_text(), done.stderr
    packages = [tmp_path / "itnet-3d/itnet_3d"]
    packages += [tmp_path / f"itnet-new-{name}/itnet_new_{name}" for name in names]
    done = run("mypy", "--strict", *packages)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("-spectrum", "No such option"),
        ("itnet spectrum", "found 'itnet spectrum'; expected letters"),
        ("2d", "whose package would be '2d'"),
        ("class", "whose package would be 'class'"),
        ("itnet-core", "'itnet-core': this distribution, or a package 'itnet_core', is already installed"),
        ("json", "or a package 'json', is"),
    ],
)
def test_names_that_cannot_be_are_refused(name: str, told: str, tmp_path: Path) -> None:
    done = run("itnet_registry", "new-plugin", name, "--kind", "head", "--path", tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["nothing", "encoder+encoder", "encoder+", "encoder+tasks", ""])
def test_kinds_that_do_not_exist_are_refused(kind: str, tmp_path: Path) -> None:
    done = run("itnet_registry", "new-plugin", "itnet-mine", "--kind", kind, "--path", tmp_path)
    assert done.returncode == 2
    assert f"new-plugin --kind: found {kind!r}; expected some of encoder, kernel," in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_the_file_system_refuses_is_one_line(tmp_path: Path) -> None:
    done = run("itnet_registry", "new-plugin", "a" * 300, "--kind", "head", "--path", tmp_path)
    assert done.returncode == 1
    assert "File name too long" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "itnet-mine").mkdir()
    (tmp_path / "itnet-mine/notes.txt").write_text("mine")
    done = run("itnet_registry", "new-plugin", "itnet-mine", "--kind", "head", "--path", tmp_path)
    assert done.returncode == 2
    assert "itnet-mine, which exists" in done.stderr
    assert [path.name for path in (tmp_path / "itnet-mine").iterdir()] == ["notes.txt"]


def test_the_licence_is_chosen(tmp_path: Path) -> None:
    for licence, first in (("MIT", "MIT License"), ("Apache-2.0", "Apache License")):
        options: tuple[Any, ...] = ("--kind", "head", "--path", tmp_path / licence, "--licence", licence)
        assert run("itnet_registry", "new-plugin", "itnet-mine", *options).returncode == 0
        assert first in (tmp_path / licence / "itnet-mine/LICENSE").read_text()
        assert f'license = "{licence}"' in (tmp_path / licence / "itnet-mine/pyproject.toml").read_text()
