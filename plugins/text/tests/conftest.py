from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from itnet_text.tokenizer import train_tokenizer

TEXTS = ["a fine film", "what a dull film", "finely played", "dull, dull, dull"]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet files are copied to a cache, which is not to be the user's."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.getbasetemp() / "datasets"))
    datasets.disable_progress_bars()


@pytest.fixture(scope="session")
def tokenizer() -> dict[str, Any]:
    """The content of a small tokenizer.json."""
    content: dict[str, Any] = json.loads(train_tokenizer(TEXTS * 4, 280).to_str())
    return content


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file with this content, in UTF-8 if it is no bytes."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write
