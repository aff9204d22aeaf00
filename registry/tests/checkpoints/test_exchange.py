"""A folder takes another's place, and one of the two is there at every moment."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from itnet_registry.checkpoints import exchange

SAVES = """
import sys, uuid
from pathlib import Path
from itnet_registry.checkpoints.exchange import replace_directory
path, number = Path(sys.argv[1]), 0
while True:
    number += 1
    new = path.with_name(uuid.uuid4().hex)
    new.mkdir()
    (new / "a").write_text(str(number))
    (new / "b").write_text(str(number))
    replace_directory(new, path)
    print(number, flush=True)
"""


def folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "a").write_text(text)
    return path


@pytest.fixture(params=["exchange", "two renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "two renames":
        monkeypatch.setattr(exchange, "_exchanger", lambda: None)
    return str(request.param)


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a folder"])
def test_the_new_folder_has_the_name(tmp_path: Path, way: str, there: str) -> None:
    if there == "an empty folder":
        (tmp_path / "c").mkdir()
    elif there == "a folder":
        folder(tmp_path / "c", "old")
    exchange.replace_directory(folder(tmp_path / "new", "new"), tmp_path / "c")
    assert (tmp_path / "c" / "a").read_text() == "new"
    assert {item.name for item in tmp_path.iterdir()} <= {"c", "new"}


def test_a_system_that_refuses_leaves_both(tmp_path: Path, way: str) -> None:
    folder(tmp_path / "c", "old")
    with pytest.raises(FileNotFoundError):
        exchange.replace_directory(tmp_path / "not there", tmp_path / "c")
    assert (tmp_path / "c" / "a").read_text() == "old"


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="names cannot be exchanged at once")
def test_one_is_there_at_every_moment_and_after_every_kill(tmp_path: Path) -> None:
    path = folder(tmp_path / "c", "0")
    (path / "b").write_text("0")
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", SAVES, str(path)], stdout=subprocess.PIPE, text=True) as saver:
            assert saver.stdout is not None
            saver.stdout.readline()
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                assert path.is_dir()
            saver.kill()
            assert int(saver.stdout.read().split()[-1]) > 1
        assert (path / "a").read_text() == (path / "b").read_text() != ""
