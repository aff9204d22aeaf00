from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from itnet_core import ITNetError
from itnet_registry import load_config
from itnet_train import train
from itnet_train.errors import RunError
from itnet_train.storage.directory import RunDirectory
from itnet_train.storage.lock import hold_lock

Same = Callable[[Path, Path], None]


def test_a_run_that_is_there_is_not_overwritten(sections: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    sections["train"]["epochs"] = 1
    train(sections, run)
    (run / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="Use --resume to continue the run, or --overwrite to start again"):
        train(sections, run)
    sections["train"]["seed"] = 1
    train(sections, run, overwrite=True)
    assert load_config(run / "config.yaml")["train"]["seed"] == 1
    assert (run / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}], ids=["new", "resume", "overwrite"])
def test_files_that_are_not_of_a_run_are_never_touched(
    sections: dict[str, Any], tmp_path: Path, options: dict[str, bool]
) -> None:
    """A configuration alone does not make a directory a run."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(sections))
    with pytest.raises(RunError, match="files that do not belong to a run"):
        train(sections, tmp_path, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_a_run_from_before_positions_and_scan_orders_is_resumed(sections: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    sections["train"]["epochs"] = 1
    metrics = train(sections, run)
    config = load_config(run / "config.yaml")
    assert (config["model"].pop("position"), config["model"].pop("scan")) == ("none", "none")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert train(sections, run, resume=True) == metrics


def test_a_killed_save_is_repaired_when_the_run_goes_on(
    sections: dict[str, Any], tmp_path: Path, assert_same_weights: Same
) -> None:
    """The process died between putting the old checkpoint aside and giving the new one its name."""
    run, whole = tmp_path / "run", tmp_path / "whole"
    train(sections, whole)
    train(sections, run)
    (run / "metrics.json").unlink()
    (run / "best").rename(run / ".best.previous")
    (run / ".last.0123abcd.part").mkdir()
    train(sections, run, resume=True)
    assert_same_weights(run / "best", whole / "best")
    assert not list(run.glob(".*"))


def test_a_second_run_in_one_directory_is_refused_and_takes_nothing_away(
    sections: dict[str, Any], learned: Path
) -> None:
    config = load_config(learned / "config.yaml")
    before = {path: path.stat().st_mtime_ns for path in learned.rglob("*")}
    with RunDirectory(learned).hold(), pytest.raises(RunError, match="found a run in progress"):
        train(config, learned, overwrite=True)
    assert {path: path.stat().st_mtime_ns for path in learned.rglob("*")} == before


def test_a_file_system_without_locks_is_trained_on_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with hold_lock(tmp_path / "run.lock"):
        assert "cannot lock this directory against a second run: No locks available" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file/run", r"file/run: found .*Not a directory; expected files that can be read and written"),
        ("file", "file: found a file; expected a directory"),
        ("x" * 300, "File name too long"),
        ("caf\udce9", r"caf\\udce9: found a name that is not UTF-8"),
        ("closed/run", r"closed/run: found .*Permission denied"),
    ],
)
def test_a_directory_that_the_system_refuses_is_an_error_of_ours(
    sections: dict[str, Any], tmp_path: Path, name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    make = os.mkdir

    def mkdir(path: Any, *options: Any) -> None:
        if "closed" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        make(path, *options)

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(RunError, match=message):
        train(sections, str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_under_the_logs_is_one_error(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """TensorBoard writes in a thread of its own."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", refuse)
    with pytest.raises(RunError, match="No space left on device"):
        train(sections, tmp_path / "run")
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("call", [1, 3, 7, 8], ids=["config", "best", "state", "metrics"])
def test_a_full_disk_is_an_error_of_ours_and_loses_nothing(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assert_same_weights: Same, call: int
) -> None:
    """At the first write, in a checkpoint, in the state, and when all has been trained."""
    run, calls, sync = tmp_path / "run", itertools.count(1), os.fsync

    def fsync(descriptor: int) -> None:
        if next(calls) >= call:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    sections["train"]["epochs"] = 1
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(ITNetError, match="No space left on device") as caught:
            train(sections, run)
    assert isinstance(caught.value.__cause__, OSError)
    assert not list(run.rglob("*part"))
    assert train(sections, run, resume=True)["epochs"] == 1
    assert_same_weights(run / "best", run / "last")
