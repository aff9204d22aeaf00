"""What the operating system refuses is an error of the package's own, with the refusal as its cause."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from itnet_registry import create_model, load_model, save_model
from itnet_registry.errors import CheckpointError


@pytest.mark.parametrize("name", ["file/checkpoint", "x" * 300, "closed", "file/a/b"])
def test_a_place_that_no_checkpoint_can_be_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    make = os.mkdir

    def mkdir(path: Any, *options: Any, **more: Any) -> None:
        if "closed" in str(path):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        make(path, *options, **more)

    monkeypatch.setattr(os, "mkdir", mkdir)
    model = create_model(width=8, depth=1, encoder={"name": "field", "channels": 1}, heads={}, kernel={"heads": 2})
    with pytest.raises(CheckpointError) as caught:
        save_model(model, tmp_path / name)
    assert isinstance(caught.value.__cause__, OSError)
    assert str(tmp_path / name) in caught.value.place
    with pytest.raises(CheckpointError):
        load_model(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_checkpoint_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    model = create_model(width=8, depth=1, encoder={"name": "field", "channels": 1}, heads={}, kernel={"heads": 2})
    save_model(model, tmp_path / "c")
    before = {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()}
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(CheckpointError, match="c: found No space left on device; expected files that can be"):
        save_model(model, tmp_path / "c")
    assert {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
