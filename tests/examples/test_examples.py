"""The scripts of the examples: what they refuse, and that only whole data take their place."""

from __future__ import annotations

import importlib
import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def fetch_data(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(EXAMPLES)
    yield importlib.import_module("fetch_data")
    for path in EXAMPLES.glob("*.py"):
        sys.modules.pop(path.stem, None)


def plant(fetch_data: ModuleType, monkeypatch: pytest.MonkeyPatch, files: int) -> list[Path]:
    """Make the only data set one of two files, of which `files` arrive; return the folders that it was fetched into."""
    folders = []

    def fetch(folder: Path, work: Path) -> None:
        folders.append(folder)
        (work / "package").write_text("unpacked and forgotten")
        for number in range(files):
            (folder / f"{number}.txt").write_text("words")

    data = fetch_data.DataSet("two texts", "MIT", fetch, "*.txt", 2)
    monkeypatch.setattr(fetch_data, "DATA_SETS", {"texts": data})
    return folders


def test_a_whole_data_set_is_fetched_once(
    fetch_data: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = plant(fetch_data, monkeypatch, 2)
    monkeypatch.setattr(sys, "argv", ["fetch_data.py", "all", "--into", str(tmp_path / "data")])
    fetch_data.main()
    fetch_data.main()
    assert len(folders) == 1
    assert sorted(path.name for path in (tmp_path / "data").rglob("*")) == ["0.txt", "1.txt", "texts"]
    assert "licence MIT" in capsys.readouterr().out


@pytest.mark.parametrize("files", [1, 3])
def test_another_number_of_files_is_refused_and_leaves_nothing(
    fetch_data: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: int
) -> None:
    plant(fetch_data, monkeypatch, files)
    with pytest.raises(SystemExit, match=rf"found {files} files \*.txt; expected 2"):
        fetch_data.fetch("texts", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_fetch_leaves_nothing(fetch_data: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plant(fetch_data, monkeypatch, 2)

    def interrupted(folder: Path, work: Path) -> None:
        (folder / "0.txt").write_text("words")
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch_data, "DATA_SETS", {"texts": fetch_data.DataSet("", "", interrupted, "*.txt", 1)})
    with pytest.raises(KeyboardInterrupt):
        fetch_data.fetch("texts", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files_that_got_lost_are_missed(fetch_data: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plant(fetch_data, monkeypatch, 2)
    fetch_data.fetch("texts", tmp_path)
    (tmp_path / "texts/0.txt").write_text("")
    with pytest.raises(SystemExit, match="Remove the folder and fetch it again"):
        fetch_data.fetch("texts", tmp_path)


def test_a_failing_client_is_quoted(fetch_data: Any) -> None:
    with pytest.raises(SystemExit, match="failed with\nno such package"):
        fetch_data.run(sys.executable, "-c", "import sys; print('no such package'); sys.exit(1)")


def test_an_archive_cannot_write_outside(fetch_data: Any, tmp_path: Path) -> None:
    archive, folder = tmp_path / "a.tar", tmp_path / "folder"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    with pytest.raises(tarfile.OutsideDestinationError):
        fetch_data.extract(archive, folder)
    assert not (tmp_path / "outside").exists()
