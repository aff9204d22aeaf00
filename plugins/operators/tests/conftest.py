from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

WriteFields = Callable[..., Path]


def _arrays(points: int = 12, samples: int | None = None, seed: int = 0) -> dict[str, Any]:
    """Return the arrays of a smooth field in the plane, of two inputs and one target."""
    random = np.random.default_rng(seed)
    leading = () if samples is None else (samples,)
    positions = random.uniform(0, 5, (*leading, points, 2))
    inputs = random.standard_normal((*leading, points, 2)) + 3
    return {"positions": positions, "inputs": inputs, "targets": positions.sum(-1) + inputs[..., 0]}


@pytest.fixture
def write_fields() -> WriteFields:
    """Write one .npz file per sample to a folder, of 10 to 14 points; of 10 if some arrays are given."""

    def write(folder: Path, count: int = 12, **changed: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            np.savez(
                folder / f"{number:02}.npz", **{**_arrays(10 if changed else 10 + number % 5, seed=number), **changed}
            )
        return folder

    return write


@pytest.fixture
def write_stack() -> WriteFields:
    """Write one file of 12 samples of 11 points, .npz or HDF5 by its suffix."""

    def write(path: Path, **changed: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {**_arrays(11, samples=12), **changed}
        if path.suffix == ".npz":
            np.savez(path, **content)
            return path
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for key, value in content.items():
                file[key] = value
        return path

    return write


@pytest.fixture
def darcy(tmp_path: Path) -> Path:
    """Write files in the published layout, with few samples: the pressure is a multiple of the sample's number."""
    for split, side, count in (("train", 16, 60), ("test", 16, 4), ("test", 32, 4)):
        pressure = torch.rand(1, side, side).expand(count, -1, -1) * torch.arange(1, count + 1).view(-1, 1, 1)
        torch.save({"x": torch.rand(count, side, side) > 0.5, "y": pressure}, tmp_path / f"darcy_{split}_{side}.pt")
    return tmp_path


@pytest.fixture
def burgers(tmp_path: Path) -> Path:
    """Write a file in the published layout: sines, with a solution that decays."""
    x = torch.arange(16) / 16
    initial = 0.3 * torch.sin(2 * torch.pi * (x + torch.rand(1200, 1))).double()
    solution = initial.unsqueeze(1) * torch.linspace(1, 0.7, 17).view(-1, 1)
    content = {"input": initial, "output": solution, "visc": torch.tensor([[0.01]])}
    torch.save(content, tmp_path / "burgers_lowres.pt")
    return tmp_path
