"""Images a second of data loading: `python benchmarks/loading.py` writes docs/benchmarks/loading.md.

Each way loads, augments and batches the same photographs, in turns, in one process; the counterpart is torchvision's
`ImageFolder` in a plain `DataLoader` with the same transforms, batches and workers.
"""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import numpy as np
import torch
from datasets import Dataset
from measuring import Ratio, Report, goal
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder as PlainFolder
from torchvision.transforms import v2

from itnet_core import Task
from itnet_registry import create
from itnet_train.config import TrainConfig
from itnet_train.console import quiet_lightning
from itnet_train.data.datamodule import TaskData
from itnet_train.engine.trainer import create_trainer

IMAGES, CLASSES, SIZE, BATCH, ROUNDS = 256, 4, (500, 375), 32, 15
GOAL, THEIRS = 0.95, "torchvision's `ImageFolder`"


def photograph(random: np.random.Generator) -> bytes:
    """Return a JPEG of coarse and fine noise, about as large as a photograph of ImageNet."""
    width, height = SIZE
    coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC), np.float32)
    pixels = smooth + random.normal(0, 12, (height, width, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "jpeg", quality=90)
    return file.getvalue()


def write(folder: Path) -> float:
    """Write the photographs in each form; return their mean size in bytes."""
    random = np.random.default_rng(0)
    images = [photograph(random) for _ in range(IMAGES)]
    for split, part in {"train": images, "val": images[:CLASSES], "test": images[:CLASSES]}.items():
        for number, image in enumerate(part):
            path = folder / "folders" / split / str(number % CLASSES) / f"{number:06}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image)
    for shard in range(4):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for number in range(shard, IMAGES, 4):
                for ending, content in (("jpg", images[number]), ("cls", b"%d" % (number % CLASSES))):
                    member = tarfile.TarInfo(f"{number:06}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    labels = [number % CLASSES for number in range(IMAGES)]
    Dataset.from_dict({"image": images, "label": labels}).to_parquet(folder / "images.parquet")
    return sum(map(len, images)) / IMAGES


def theirs(folder: Path, workers: int) -> DataLoader[Any]:
    """Return torchvision's loader."""
    transforms = v2.Compose(
        [
            v2.RandomResizedCrop(224, scale=(0.35, 1.0)),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            v2.ToPureTensor(),
        ]
    )
    data = PlainFolder(folder / "folders/train", transforms)
    return DataLoader(data, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def ours(task: Task, workers: int) -> DataLoader[Any]:
    """Return the loader that `itnet train` uses."""
    config = TrainConfig(batch_size=BATCH, workers=workers, accelerator="cpu")
    data = TaskData({"image": task}, config)
    data.trainer = create_trainer(config, progress=False)
    return data.train_dataloader()


def ways(folder: Path, workers: int) -> dict[str, DataLoader[Any]]:
    """Return the loader of each way."""
    root, shards = {"root": str(folder / "folders")}, {"validation_files": "0.tar", "test": "0.tar"}
    table = {"train": "images.parquet", "validation_files": "images.parquet", "test": "images.parquet"}
    tasks = {
        "`image-folder`": create("task", "image-folder", **root),
        "`image-shards`": create("task", "image-shards", root=str(folder), train="?.tar", **shards),
        "`image-table`": create("task", "image-table", root=str(folder), **table),
        "`image-folder`, cached": create("task", "image-folder", **root, cache_gigabytes=1),
    }
    return {THEIRS: theirs(folder, workers), **{name: ours(task, workers) for name, task in tasks.items()}}


def measure(loaders: dict[str, DataLoader[Any]], clock: Callable[[], float]) -> dict[str, list[float]]:
    """Return each way's seconds for an epoch, in rounds that take turns, after an epoch that warms up."""
    times: dict[str, list[float]] = {name: [] for name in loaders}
    for number in range(ROUNDS + 1):
        for name in loaders if number % 2 else reversed(loaders):
            start = clock()
            batches = sum(1 for _ in loaders[name])
            if number:
                times[name].append(clock() - start)
            assert batches == IMAGES // BATCH
    return times


def main() -> None:
    """Measure, and write the page."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as name, quiet_lightning():
        folder = Path(name)
        os.environ["ITNET_CACHE"], datasets.config.HF_DATASETS_CACHE = f"{name}/cache", folder / "huggingface"
        size = write(folder)
        found = {
            "0": measure(ways(folder, 0), time.process_time),
            "2": measure(ways(folder, 2), time.perf_counter),
        }
    text = (
        f"{IMAGES} JPEG images of {SIZE[0]} × {SIZE[1]} pixels, {size / 1000:.0f} kB each, are read from the page "
        f"cache, decoded, cropped at random to 224 × 224, mirrored, normalised and batched by {BATCH}, in {ROUNDS} "
        f"rounds in which the ways take turns. {THEIRS} is in a plain `DataLoader` with the same transforms. Without "
        "workers, seconds are CPU time; with two, time that others share. The ratio is that of images a second to "
        "torchvision's, its median and quartiles."
    )
    report = Report("loading", "Data loading", text)
    rows = [
        {
            "workers": workers,
            "way": way,
            "images a second": IMAGES / median(seconds),
            "ratio": (ratio := Ratio.of(times[THEIRS], seconds)),
            "goal": "" if way == THEIRS else goal(ratio.median, least=GOAL),
        }
        for workers, times in found.items()
        for way, seconds in times.items()
    ]
    report.table("loading", {"workers": "", "way": "", "images a second": ".0f", "ratio": "", "goal": ""}, rows)
    report.write()


if __name__ == "__main__":
    main()
