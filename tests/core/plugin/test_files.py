"""Only regular files are read, up to a size; writes are atomic."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from itnet_core.plugin.files import atomic_path, partial_path, partial_paths, read_regular, write_atomically


def test_a_regular_file_is_read_up_to_a_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    (tmp_path / "link").symlink_to(path)
    assert read_regular(path, 5) == read_regular(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_regular(path, 4)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="FIFO"):
        read_regular(tmp_path / "fifo", 5)
    with pytest.raises(OSError, match="a device"):
        read_regular(Path("/dev/zero"), 5)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path, 5)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "nothing", 5)


def test_an_atomic_write_replaces_the_file_and_leaves_no_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as partial:
        raise RuntimeError(partial.write_text("half"))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]
    write_atomically(path, "new\r\n")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"new\r\n")]


def test_partial_files_belong_to_one_name(tmp_path: Path) -> None:
    path = tmp_path / "best[1]"
    mine = [partial_path(path), partial_path(path, "0123")]
    for partial in (*mine, partial_path(tmp_path / "last"), tmp_path / ".best[1].previous"):
        partial.touch()
    assert sorted(partial_paths(path)) == sorted(mine)
