"""On fixtures in exactly the published layout: a folder a category of text files, and the splits' lists in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.datasets import ShapeNet

from itnet_core import DataError
from itnet_pointcloud.data.shapenet import ARCHIVE, CATEGORIES, IDENTIFIERS, PARTS, category_of, read_shape, shapes


def test_the_benchmark_has_16_categories_and_50_parts() -> None:
    assert len(CATEGORIES) == len(IDENTIFIERS) == len(PARTS) == 16
    assert sorted(part for parts in PARTS for part in parts) == list(range(50))


@pytest.mark.parametrize("below", ["", "raw", ARCHIVE])
def test_splits_are_the_published_ones(below: str, write_shapenet: Any, tmp_path: Path) -> None:
    write_shapenet(tmp_path / below)
    for split in ("train", "val", "test"):
        labelled = shapes(tmp_path, split)
        assert torch.as_tensor(labelled.labels).tolist() == list(range(16))
        assert all(file.name == f"{split}1a04.txt" for file in labelled.sources)


def test_points_are_those_that_torch_geometric_reads(write_shapenet: Any, tmp_path: Path) -> None:
    """Its reader is run on the same files, up to where it would write pickled ones."""
    write_shapenet(tmp_path / "raw")
    theirs = object.__new__(ShapeNet)
    theirs.root, theirs.categories, theirs.pre_filter, theirs.pre_transform = (
        str(tmp_path),
        list(CATEGORIES),
        None,
        None,
    )
    listed = shapes(tmp_path, "test")
    names = [f"{file.parent.name}/{file.name}" for file in listed.sources]
    for data, file, number in zip(theirs.process_filenames(names), listed.sources, listed.labels, strict=True):
        cloud, parts = read_shape(file)
        assert parts is not None
        torch.testing.assert_close(cloud.positions, data.pos)
        torch.testing.assert_close(cloud.features, data.x)
        assert torch.equal(parts, data.y)
        assert data.category == number == category_of(file)


LISTING = "train_test_split/shuffled_test_file_list.json"
SHAPE = f"{IDENTIFIERS[0]}/test1a04.txt"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / LISTING).unlink(), f"{LISTING}: found no such file"),
        (lambda root: (root / LISTING).write_text("[1, 2]"), f"{LISTING}: found something else"),
        (lambda root: (root / LISTING).write_text('["shape_data/02691156'), f"{LISTING}: found something else"),
        (lambda root: (root / LISTING).write_text('["shape_data/999/a"]'), f"{LISTING}: found something else"),
        (lambda root: (root / LISTING).write_text("[]"), "found 0 of the 0 files"),
        (lambda root: (root / LISTING).write_text('["shape_data/../far/02691156/a"]'), "the file name '../far/0269"),
        (lambda root: (root / LISTING).write_text("[" * 100_000), f"{LISTING}: found something else"),
        (lambda root: (root / SHAPE).unlink(), f"{SHAPE}: found 1 of the 16 files of .* missing"),
    ],
)
def test_a_damaged_layout_is_refused_by_name(
    spoil: Callable[[Path], Any], message: str, write_shapenet: Any, tmp_path: Path
) -> None:
    spoil(write_shapenet(tmp_path))
    with pytest.raises(DataError, match=message):
        shapes(tmp_path, "test")


LINE = "0.1 0.2 0.3 0 0 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"numbers of shape \(0, \d\)"),
        (f"{LINE} 0\n{LINE}\n", "something else"),
        (f"{LINE}\n", r"numbers of shape \(1, 6\)"),
        (f"{LINE} 1 1\n", r"numbers of shape \(1, 8\)"),
        ("x y z a b c d\n", "something else"),
        (f"{LINE} 0\nnan 0 0 0 0 1 0\n", "some NaN or infinite"),
        (f"{LINE} 0\n1e39 0 0 0 0 1 0\n", "some NaN or infinite in float32"),
        (f"{LINE} 0\n{LINE} 4\n", "the part 4 in line 2; expected one of 0 to 3"),
        (f"{LINE} 0.5\n", "the part 0.5 in line 1"),
        ("é".encode("latin-1"), "something else"),
    ],
)
def test_what_is_no_shape_is_refused_by_name(text: str | bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / IDENTIFIERS[0] / "a.txt"
    file.parent.mkdir()
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=f"a.txt: found .*{message}"):
        read_shape(file)


def test_a_users_file_may_lack_the_parts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"{LINE}\n{LINE}\n")
    cloud, parts = read_shape(tmp_path / "a.txt", labelled=False)
    assert cloud.positions.shape == (2, 3)
    assert parts is None
    with pytest.raises(DataError, match="b.txt: found no such file"):
        read_shape(tmp_path / "b.txt", labelled=False)


def test_the_published_names_and_offsets_agree(write_shapenet: Any, tmp_path: Path) -> None:
    lines = (write_shapenet(tmp_path) / "synsetoffset2category.txt").read_text().split()
    assert lines[:2] == ["Airplane", "02691156"]
    assert json.loads((tmp_path / LISTING).read_text())[0].startswith("shape_data/02691156/")


def test_categories_and_parts_are_those_of_torch_geometric() -> None:
    assert dict(zip(CATEGORIES, IDENTIFIERS, strict=True)) == ShapeNet.category_ids
    assert dict(zip(CATEGORIES, map(list, PARTS), strict=True)) == ShapeNet.seg_classes
