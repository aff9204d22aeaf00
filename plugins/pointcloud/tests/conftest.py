from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from itnet_pointcloud.data.shapenet import CATEGORIES, IDENTIFIERS, PARTS
from itnet_pointcloud.points import Cloud


@pytest.fixture
def write_mesh() -> Callable[..., Path]:
    """Write a closed mesh, stretched by a factor along z; the suffix says the format."""

    def write(path: Path, height: float = 1.0, *, round_: bool = False) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        mesh = trimesh.creation.icosphere(1) if round_ else trimesh.creation.box()
        mesh.apply_scale([1, 1, height])
        mesh.export(path)
        return path

    return write


@pytest.fixture
def write_folders(write_mesh: Any) -> Callable[..., None]:
    """Write `root/<split>/<class>/<i>.off` of boxes and balls, for each split and i below the split's count."""

    def write(root: Path, splits: dict[str, int]) -> None:
        for split, count in splits.items():
            for name in ("ball", "box"):
                for i in range(count):
                    write_mesh(root / split / name / f"{i}.off", 1 + 0.1 * i, round_=name == "ball")

    return write


@pytest.fixture
def write_shapenet() -> Callable[..., Path]:
    """Write the published text layout, with a shape of 8 to 11 points of each category in each split; return it."""

    def write(root: Path) -> Path:
        random = np.random.default_rng(0)
        (root / "train_test_split").mkdir(parents=True)
        lines = [f"{name}\t{number}" for name, number in zip(CATEGORIES, IDENTIFIERS, strict=True)]
        (root / "synsetoffset2category.txt").write_text("\n".join(lines) + "\n")
        for split in ("train", "val", "test"):
            names = []
            for number, (identifier, parts) in enumerate(zip(IDENTIFIERS, PARTS, strict=True)):
                (root / identifier).mkdir(exist_ok=True)
                count = 8 + number % 4
                normals = random.normal(size=(count, 3))
                normals /= np.linalg.norm(normals, axis=1, keepdims=True)
                table = np.column_stack([random.normal(size=(count, 3)), normals, np.resize(parts, count)])
                np.savetxt(root / identifier / f"{split}1a04.txt", table, fmt="%.6f")
                names.append(f"shape_data/{identifier}/{split}1a04")
            (root / "train_test_split" / f"shuffled_{split}_file_list.json").write_text(json.dumps(names))
        return root

    return write


@pytest.fixture
def some_clouds() -> Callable[..., list[Cloud]]:
    """Return clouds of the given sizes, of normal points and features."""

    def make(*sizes: int, features: int = 0, dtype: torch.dtype = torch.float32) -> list[Cloud]:
        return [Cloud(torch.randn(n, 3, dtype=dtype), torch.randn(n, features, dtype=dtype)) for n in sizes]

    return make
