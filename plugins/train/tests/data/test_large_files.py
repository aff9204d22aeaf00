"""Training on shards and tables, which is cut off and resumed."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from PIL import Image
from scipy.io import wavfile

from itnet_core import ConfigError
from itnet_train import train

COUNT = 64


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of shards and of tables of random images, of recordings, and of texts."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "huggingface")
    images = []
    for pixels in torch.randint(0, 256, (COUNT, 12, 12, 3), dtype=torch.uint8):
        file = io.BytesIO()
        Image.fromarray(pixels.numpy()).save(file, "png")
        images.append(file.getvalue())
    clips = []
    for number in range(COUNT):
        wavfile.write(clip := io.BytesIO(), 8000, torch.randn(400 + 10 * number).numpy())
        clips.append(clip.getvalue())
    for shard in range(4):
        with tarfile.open(tmp_path / f"{shard}.tar", "w") as tar:
            for number in range(shard * 16, shard * 16 + 16):
                parts = {"png": images[number], "wav": clips[number], "cls": b"%d" % (number % 2)}
                for ending, content in parts.items():
                    member = tarfile.TarInfo(f"{number:03}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    labels = [number % 2 for number in range(COUNT)]
    texts = [f"text {number % 9 * 'and '}" for number in range(COUNT)]
    table = Dataset.from_dict({"image": images, "text": texts, "label": labels})
    table.to_parquet(tmp_path / "a.parquet", batch_size=8)
    return tmp_path


def sections(data: Path, task: str, **options: Any) -> dict[str, Any]:
    patch, files = {"name": "patch", "patch_size": 4}, {"root": str(data), "train": "?.tar"}
    table: dict[str, Any] = {"root": str(data), "train": "a.parquet", "image_size": 8}
    ways: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "image-shards": (patch, {**files, "image_size": 8}),
        "image-table": (patch, table),
        "image-table, streamed": (patch, {**table, "stream_gigabytes": 1e-5}),
        "audio-shards": ({"name": "mel", "n_mels": 16}, {**files, "sample_rate": 8000}),
        "text-table": ({"name": "token"}, {"train": str(data / "a.parquet")}),
    }
    encoder, config = ways[task]
    name = task.partition(",")[0]
    model = {"preset": "itnet-nano", "depth": 1, "width": 8, "encoder": encoder, "task": {"name": name, **config}}
    return {"model": model, "train": {"epochs": 2, "batch_size": 22, "accelerator": "cpu", **options}}


@pytest.mark.parametrize(
    ("task", "order"),
    [
        ("image-shards", {"shuffle_buffer": 20}),
        ("image-table", {}),
        ("image-table, streamed", {"shuffle_buffer": 20}),
        ("audio-shards", {"shuffle_buffer": 20, "bucket": 2}),
        ("text-table", {"bucket": 2}),
    ],
)
def test_a_run_goes_on_exactly_from_every_step(
    task: str, order: dict[str, int], data: Path, assert_same_weights: Callable[[Path, Path], None]
) -> None:
    whole, cut = data / "whole", data / "cut"
    steps = train(sections(data, task, **order, workers=1, prefetch=3), whole)["steps"]
    assert steps == 4
    for _ in range(steps):
        train(sections(data, task, **order, max_minutes=1e-9), cut, resume=True)
    assert_same_weights(cut / "last", whole / "last")


def test_a_buffer_needs_files_of_several_samples(data: Path) -> None:
    options = sections(data, "image-shards", shuffle_buffer=8)
    options["model"]["task"] = "digits"
    with pytest.raises(ConfigError, match="train.shuffle_buffer: found 8, with samples that are read one by one"):
        train(options, data / "run")
