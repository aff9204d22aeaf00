"""Images a second of data loading: `python benchmarks/loading.py` writes docs/benchmarks/loading.md.

Each way loads, augments and batches the same photographs, in turns, in one process; the counterpart is torchvision's
`ImageFolder` in a plain `DataLoader` with the same transforms, batches and workers.
"""

from __future__ import annotations

import io
import os
import tarfile
import time
from multiprocessing import active_children
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

IMAGES, CLASSES, SIZE, BATCH, ROUNDS = 256, 4, (500, 375), 32, 9
GOAL, THEIRS, STREAMED = 0.95, "torchvision's `ImageFolder`", "`image-table`, streamed"


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
    Dataset.from_dict({"image": images, "label": labels}).to_parquet(folder / "images.parquet", batch_size=32)
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


def ours(task: Task, workers: int, buffer: int | None) -> DataLoader[Any]:
    """Return the loader that `itnet train` uses."""
    config = TrainConfig(batch_size=BATCH, workers=workers, accelerator="cpu", shuffle_buffer=buffer)
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
        STREAMED: create("task", "image-table", root=str(folder), **table, stream_gigabytes=0.006),
        "`image-folder`, cached": create("task", "image-folder", **root, cache_gigabytes=1),
    }
    loaders = {name: ours(task, workers, 64 if name == STREAMED else None) for name, task in tasks.items()}
    return {THEIRS: theirs(folder, workers), **loaders}


def used() -> float:
    """Return the CPU time in seconds of this process and the workers that it started."""
    ticks = 0
    for worker in active_children():
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def measure(loaders: dict[str, DataLoader[Any]]) -> dict[str, list[tuple[float, float]]]:
    """Return each way's CPU time and time of an epoch, in rounds that take turns, after an epoch that warms up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in loaders}
    for number in range(ROUNDS + 1):
        for name in loaders if number % 2 else reversed(loaders):
            start = used(), time.perf_counter()
            batches = sum(1 for _ in loaders[name])
            if number:
                times[name].append((used() - start[0], time.perf_counter() - start[1]))
            assert batches == IMAGES // BATCH
    return times


def rows(workers: int, times: dict[str, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    """Return the rows of the table."""
    found = []
    theirs = [[*part] for part in zip(*times[THEIRS], strict=True)]
    for way, seconds in times.items():
        cpu, all_of_it = ([*part] for part in zip(*seconds, strict=True))
        ratio = Ratio.of(theirs[0], cpu)
        found.append(
            {
                "workers": workers,
                "way": way,
                "images a second of CPU time": IMAGES / median(cpu),
                "ratio": ratio,
                "goal": "" if way == THEIRS else goal(ratio.median, least=GOAL),
                "images a second": IMAGES / median(all_of_it),
                "ratio of these": Ratio.of(theirs[1], all_of_it),
            }
        )
    return found


def main() -> None:
    """Measure, and write the page."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as name, quiet_lightning():
        folder = Path(name)
        os.environ["ITNET_CACHE"], datasets.config.HF_DATASETS_CACHE = f"{name}/cache", folder / "huggingface"
        size = write(folder)
        found = [row for workers in (0, 2) for row in rows(workers, measure(ways(folder, workers)))]
    text = (
        f"{IMAGES} JPEG images of {SIZE[0]} × {SIZE[1]} pixels, {size / 1000:.0f} kB each, are read from the page "
        f"cache, decoded, cropped at random to 224 × 224, mirrored, normalised and batched by {BATCH}, in {ROUNDS} "
        f"rounds in which the ways take turns. {THEIRS} is in a plain `DataLoader` with the same transforms. Streamed, "
        "a table is read by row groups of 32 images. Two are shuffled together, and no more fit into the memory that "
        "each process may use, so that every epoch reads all of them again.\n\n"
        "The CPU time is that of all processes of a way. The time itself depends on what else the machine does: here "
        f"{os.getloadavg()[2]:.0f} processes shared {os.cpu_count()} cores. Ratios are of images a second to "
        "torchvision's, the median and quartiles of the rounds."
    )
    report = Report("loading", "Data loading", text)
    columns = {"workers": "d", "way": "", "images a second of CPU time": ".0f", "ratio": "", "goal": ""}
    report.table("loading", {**columns, "images a second": ".0f", "ratio of these": ""}, found)
    report.write()


if __name__ == "__main__":
    main()
