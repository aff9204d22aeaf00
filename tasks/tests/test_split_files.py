from __future__ import annotations

from pathlib import Path

import pytest

from itnet_tasks import split_files


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["reviews.csv"], {"train": "reviews.csv"}),
        (["train.csv", "test.csv"], {"train": "train.csv", "test": "test.csv"}),
        (
            ["A_TRAIN.csv", "A_TEST.csv", "A-dev.csv"],
            {"train": "A_TRAIN.csv", "test": "A_TEST.csv", "validation_file": "A-dev.csv"},
        ),
        (["restrain.csv", "contest.csv"], {}),
        (["train.csv", "train.tsv"], {}),
        (["a.csv", "notes.md"], {"train": "a.csv"}),
        ([".hidden.csv"], {}),
        ([], {}),
    ],
)
def test_splits_are_found_by_their_names(names: list[str], found: dict[str, str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    expected = {split: (tmp_path / name).as_posix() for split, name in found.items()}
    assert split_files(tmp_path, [".csv", ".tsv"]) == expected


def test_a_file_is_its_own_training_split(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    assert split_files(tmp_path / "a.csv", [".csv"]) == {"train": (tmp_path / "a.csv").as_posix()}
    assert split_files(tmp_path / "none", [".csv"]) == {}
