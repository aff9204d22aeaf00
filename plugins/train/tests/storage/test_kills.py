"""A process that is killed at any step on its way to a run, simulated: the step and all after it do nothing."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from itnet_registry import load_config, load_model
from itnet_train.errors import RunError
from itnet_train.storage.directory import RunDirectory
from itnet_train.storage.lock import hold_lock

STEPS = [(os, "mkdir"), (os, "open"), (os, "unlink"), (os, "rmdir"), (os, "rename"), (os, "replace"), (os, "fsync")]
STEPS += [(io, "open")]


class Killed(BaseException):
    """Stands for the end of the process, after which nothing is tidied up."""


def kill_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Let so many steps on the file system be made, and none after them."""
    made = 0

    def limited(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            if made > step:
                raise Killed
            return function(*args, **options)

        return run

    for module, name in STEPS:
        patch.setattr(module, name, limited(getattr(module, name)))


def start(path: Path, config: dict[str, Any], *, resume: bool = False, overwrite: bool = False) -> None:
    """Do what `train` does before it trains."""
    directory = RunDirectory(path)
    directory.check(config, resume=resume, overwrite=overwrite)
    with directory.hold():
        directory.start(config, resume=resume)


@pytest.fixture
def ended(learned: Path, tmp_path: Path) -> Callable[[], Path]:
    """Copy a run that has ended, with the half of a checkpoint in it that another kill left."""

    def copy() -> Path:
        path = tmp_path / "run"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(learned, path)
        (path / ".best.0123abcd.part").mkdir()
        (path / "notes.txt").write_text("mine")
        return path

    return copy


def is_killed(begin: Callable[[], None], step: int) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, step)
        try:
            begin()
        except Killed:
            return True
    return False


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_kill_inside_overwrite_leaves_a_run_at_every_step(ended: Callable[[], Path]) -> None:
    """It has ended only while it is whole, can be resumed only while its checkpoints are there, and can be started."""
    path, step = ended(), 0
    whole, config = contents(path), load_config(path / "config.yaml")
    other = {**config, "train": {**config["train"], "seed": 1}}
    while is_killed(lambda: start(path, other, overwrite=True), step):
        directory, left = RunDirectory(path), contents(path)
        if directory.metrics.exists():
            assert left == whole
        elif directory.state.exists():
            assert left == {name: text for name, text in whole.items() if name != "metrics.json"}
            with pytest.raises(RunError, match=r"train\.seed"):
                directory.check(other, resume=True, overwrite=False)
            directory.check(config, resume=True, overwrite=False)
        else:
            directory.check(other, resume=True, overwrite=False)
        with pytest.raises(RunError, match="Use --resume to continue the run, or --overwrite"):
            directory.check(other, resume=False, overwrite=False)
        start(path, other, overwrite=True)
        assert contents(path).keys() == {"config.yaml", "run.lock", "notes.txt"}
        ended()
        step += 1
    assert step > 20


def test_a_kill_inside_resume_loses_no_checkpoint(ended: Callable[[], Path]) -> None:
    def cut() -> Path:
        """Have a run stand where the kill of a save left it, with one checkpoint aside."""
        path = ended()
        (path / "metrics.json").unlink()
        (path / "best").rename(path / ".best.previous")
        return path

    path, step = cut(), 0
    config = load_config(path / "config.yaml")
    while is_killed(lambda: start(path, config, resume=True), step):
        start(path, config, resume=True)
        load_model(path / "best")
        load_model(path / "last")
        assert (path / "resume/state.ckpt").is_file()
        cut()
        step += 1
    assert step > 5


def test_a_new_run_that_is_killed_before_it_is_one_can_be_started(learned: Path, tmp_path: Path) -> None:
    config, path, step = load_config(learned / "config.yaml"), tmp_path / "a/run", 0
    while is_killed(lambda: start(path, config), step):
        for options in ({}, {"resume": True}, {"overwrite": True}):
            copied = tmp_path / "copy"
            if path.exists():
                shutil.copytree(path, copied)
            if options or not (path / "config.yaml").exists():
                start(copied, config, **options)
                assert load_config(copied / "config.yaml") == config
            shutil.rmtree(copied, ignore_errors=True)
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
        step += 1
    assert step > 5


def test_a_lock_ends_with_its_process_whatever_that_has_forked(tmp_path: Path) -> None:
    """Workers that load data live on for some seconds when the process that started them is killed."""
    holds, gone = os.pipe(), os.pipe()
    process = os.fork()
    if not process:
        with hold_lock(tmp_path / "run.lock"):
            if not os.fork():  # the worker, which ends when the test does
                os.write(holds[1], b".")
                os.close(gone[1])
                os.read(gone[0], 1)
                os._exit(0)
            os.kill(os.getpid(), 9)
    os.waitpid(process, 0)
    assert os.read(holds[0], 1)
    lock = tmp_path / "run.lock"
    with hold_lock(lock), pytest.raises(RunError, match="a run in progress"), hold_lock(lock):
        pytest.fail("two hold the lock")
    os.close(gone[1])
