from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

from itnet_core import DataError
from itnet_tasks import SkippedSampleWarning, class_files, class_names


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    touch(*(root / name / f"{i}.png" for name in ("cat", "dog") for i in range(2)))
    return root


def found(root: Path) -> dict[str, list[str]]:
    """Return the names of each class's files; a file that is left out is an error."""
    classes = class_names(root)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labelled = class_files(root, classes, [".png"])
    names: dict[str, list[str]] = {name: [] for name in classes}
    for path, number in zip(labelled.sources, labelled.labels, strict=True):
        names[classes[int(number)]].append(str(path.relative_to(root / classes[int(number)])))
    return names


def test_what_is_hidden_is_left_out_at_any_depth(root: Path) -> None:
    for folder in (".ipynb_checkpoints", ".git/objects", "deep/.thumbnails"):
        touch(root / "cat" / folder / "x.png")
    touch(root / "cat/._0.png", root / ".cache/x.png")
    assert found(root) == {"cat": ["0.png", "1.png"], "dog": ["0.png", "1.png"]}


def test_linked_folders_and_files_are_read(root: Path, tmp_path: Path) -> None:
    touch(tmp_path / "far/2.png", tmp_path / "far/deep/3.png", tmp_path / "4.png")
    (root / "dog/far").symlink_to(tmp_path / "far")
    (root / "dog/4.png").symlink_to(tmp_path / "4.png")
    (root / "fox").symlink_to(tmp_path / "far")
    assert found(root) == {
        "cat": ["0.png", "1.png"],
        "dog": ["0.png", "1.png", "4.png", "far/2.png", "far/deep/3.png"],
        "fox": ["2.png", "deep/3.png"],
    }


def test_links_that_make_circles_end_and_count_nothing_twice(root: Path) -> None:
    touch(root / "dog/z/2.png", root / "dog/y/3.png")
    for link, target in (("dog/a", "dog/z"), ("dog/z/up", "dog"), ("dog/z/over", "dog/y"), ("dog/y/over", "dog/z")):
        (root / link).symlink_to(root / target)
    (root / "dog/all").symlink_to(root)
    (root / "dog/y/self").symlink_to(root / "dog/y/self")
    with pytest.warns(SkippedSampleWarning, match="1 of 7 files left out.*dog/y/self"):
        labelled = class_files(root, ["cat", "dog"], [".png"])
    names = [str(path.relative_to(root)) for path in labelled.sources]
    assert names == ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png", "dog/y/3.png", "dog/z/2.png"]


def test_files_are_in_the_order_of_their_paths(root: Path) -> None:
    touch(root / "cat/a/1.png", root / "cat/a b/1.png", root / "cat/a-1.PNG", root / "cat/A.png")
    assert found(root)["cat"] == ["0.png", "1.png", "A.png", "a/1.png", "a b/1.png", "a-1.PNG"]
    assert found(root)["cat"] == [str(Path(name)) for name in sorted(map(Path, found(root)["cat"]))]


def test_what_is_no_file_is_not_dropped_without_a_word(root: Path) -> None:
    (root / "cat/gone.png").symlink_to(root / "nowhere.png")
    os.mkfifo(root / "dog/pipe.png")
    assert found(root) == {"cat": ["0.png", "1.png", "gone.png"], "dog": ["0.png", "1.png", "pipe.png"]}


def test_a_folder_that_cannot_be_read_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "dog/locked").mkdir()
    original = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match="dog/locked: found Permission denied"):
        found(root)
