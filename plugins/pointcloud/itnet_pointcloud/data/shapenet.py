"""Read ShapeNet's published parts: categories, splits, and one file of points per shape."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from itnet_core import DataError
from itnet_pointcloud.points import Cloud
from itnet_tasks import Labelled, check_inside, read_data

_PUBLISHED = (
    ("Airplane", "02691156", 4),
    ("Bag", "02773838", 2),
    ("Cap", "02954340", 2),
    ("Car", "02958343", 4),
    ("Chair", "03001627", 4),
    ("Earphone", "03261776", 3),
    ("Guitar", "03467517", 3),
    ("Knife", "03624134", 2),
    ("Lamp", "03636649", 4),
    ("Laptop", "03642806", 2),
    ("Motorbike", "03790512", 6),
    ("Mug", "03797390", 2),
    ("Pistol", "03948459", 3),
    ("Rocket", "04099429", 3),
    ("Skateboard", "04225987", 3),
    ("Table", "04379243", 3),
)
"""Name, WordNet offset and number of parts of each category; torch_geometric has them too, and imports pandas."""

CATEGORIES = tuple(name for name, _, _ in _PUBLISHED)
"""The 16 names, in the order of their numbers."""

IDENTIFIERS = tuple(identifier for _, identifier, _ in _PUBLISHED)
"""WordNet offsets of the categories, which name their folders."""

_ENDS = tuple(accumulate(parts for _, _, parts in _PUBLISHED))
PARTS = tuple(tuple(range(end - parts, end)) for end, (_, _, parts) in zip(_ENDS, _PUBLISHED, strict=True))
"""Part numbers of each category, of 50 in all; no part belongs to two categories."""

ARCHIVE = "shapenetcore_partanno_segmentation_benchmark_v0_normal"


def shapes(root: Path, split: str) -> Labelled:
    """List the files of a published split (`train`, `val` or `test`), labelled with their category numbers.

    Args:
        root: folder with `train_test_split` and the categories' folders, or a folder that contains it as `raw` (as
            torch_geometric does) or under the archive's name.
        split: name of the split.

    Raises:
        DataError: the split's list is missing or damaged, or names a missing file.
    """
    folders = [root, root / "raw", root / ARCHIVE]
    folder = next((path for path in folders if (path / "train_test_split").is_dir()), root)
    listing = folder / "train_test_split" / f"shuffled_{split}_file_list.json"
    content = read_data(listing, "the split's list", f"Set root to the unpacked {ARCHIVE}.")
    try:
        names = [f"{name.partition('/')[2]}.txt" for name in json.loads(content)]  # shape_data/02691156/1a04e3ea...
        files = [folder / check_inside(name, str(listing)) for name in names]
        numbers = [IDENTIFIERS.index(file.parent.name) for file in files]
    except DataError:
        raise
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        expected = 'a list of "shape_data/<category id>/<name>"'
        raise DataError(str(listing), found=f"something else ({error})", expected=expected) from error
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        found = f"{len(missing)} of the {len(files)} files of {listing.name} missing"
        raise DataError(str(missing[0] if missing else listing), found=found, expected="all of them")
    return Labelled(files, torch.tensor(numbers))


def category_of(file: Path) -> int | None:
    """Return the number of the category whose folder a file lies in, if it lies in one."""
    return IDENTIFIERS.index(file.parent.name) if file.parent.name in IDENTIFIERS else None


def read_shape(file: Path, *, labelled: bool = True) -> tuple[Cloud, Tensor | None]:
    """Read a shape's points with their normals as features, (N, 3) each, and their part numbers, (N,).

    Each line of a file has x, y, z, the normal, and the part, which may be missing if not `labelled`.

    Raises:
        DataError: the file is missing, empty or of another layout, a number is not finite in float32, or a part
            belongs to another category.
    """
    expected = "lines of x y z nx ny nz part"
    content = read_data(file, expected)
    try:
        lines = content.decode("utf-8").splitlines()
        table = np.loadtxt(lines, dtype=np.float64, ndmin=2) if any(lines) else np.empty((0, 7))
    except ValueError as error:
        found = f"something else ({error})"
        raise DataError(str(file), found=found, expected=expected, hint="Replace or remove it.") from error
    finite = (np.abs(table) <= np.finfo(np.float32).max).all()
    if not table.size or table.shape[1] not in ((7,) if labelled else (6, 7)) or not finite:
        what = "" if finite else ", some NaN or infinite in float32"
        raise DataError(str(file), found=f"numbers of shape {table.shape}{what}", expected=expected)
    numbers = torch.as_tensor(table, dtype=torch.float32)
    cloud = Cloud(numbers[:, :3], numbers[:, 3:6])
    if table.shape[1] == 6:
        return cloud, None
    parts = torch.as_tensor(table[:, 6])
    category = category_of(file)
    known = PARTS[category] if category is not None else range(50)
    wrong = ~torch.isin(parts, torch.tensor(known, dtype=parts.dtype))
    if wrong.any():
        raise DataError(
            str(file),
            found=f"the part {parts[wrong][0].item():g} in line {int(wrong.nonzero()[0]) + 1}",
            expected=f"one of {min(known)} to {max(known)}",
        )
    return cloud, parts.long()
