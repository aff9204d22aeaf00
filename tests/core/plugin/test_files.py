"""Regular files are read, up to a size; nothing else is waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from itnet_core.plugin.files import read_regular


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
