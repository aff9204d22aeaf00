from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import DataError
from itnet_operators.data.tensor_files import read_tensors


class Harmful:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("harmed"),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"y": torch.ones(2)}, "data.pt: x: found no such tensor; .*fetch_data.py"),
        ([torch.ones(2, 3)], "data.pt: x: found no such tensor"),
        ({"x": torch.ones(2, 4)}, r"data.pt: x: found shape \(2, 4\); expected a tensor of shape \(-1, 3\)"),
        ({"x": torch.ones(0, 3)}, r"data.pt: x: found shape \(0, 3\)"),
        ({"x": torch.tensor([[1.0, torch.nan, 0.0]])}, "data.pt: found numbers that are NaN or infinite"),
        ({"x": Harmful()}, "data.pt: found a damaged or unreadable file"),
    ],
)
def test_files_without_the_tensors_are_refused(
    content: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, "data.pt")
    with pytest.raises(DataError, match=message):
        read_tensors(Path("data.pt"), {"x": (-1, 3)})
    assert not Path("harmed").exists()


@pytest.mark.parametrize("data", [b"", b"PK\3\4 broken", pickle.dumps({"x": 1}, protocol=2)])
def test_damaged_files_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.pt").write_bytes(data)
    with pytest.raises(DataError, match="data.pt: found a damaged or unreadable file"):
        read_tensors(tmp_path / "data.pt", {"x": (-1, 3)})
    with pytest.raises(DataError, match="missing.pt: found no such file; .*fetch_data.py"):
        read_tensors(tmp_path / "missing.pt", {"x": (-1, 3)})
