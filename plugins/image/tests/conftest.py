from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from itnet_core import Task

WriteImage = Callable[..., Path]


@pytest.fixture(autouse=True)
def _images_in_memory(request: pytest.FixtureRequest) -> None:
    """Give the conformance tests of tasks images in memory that all of them read."""
    if request.instance is not None:
        request.instance.images = [
            Image.new("RGB", (40, 30), "red"),
            np.zeros((9, 8), np.uint8),
            np.ones((9, 8, 4)),
            torch.rand(3, 9, 8),
            [[0, 255], [128, 7]],
            {"image": Image.new("L", (8, 8)), "note": "of a table"},
        ]


@pytest.fixture
def write_folders(write_image: WriteImage) -> Callable[..., None]:
    """Write `root/<split>/<class>/<i>.JPEG` for each split, class and i below the split's count."""

    def write(root: Path, splits: dict[str, int], classes: tuple[str, ...] = ("cat", "dog")) -> None:
        for split, count in splits.items():
            for name in classes:
                for i in range(count):
                    write_image(root / split / name / f"{i}.JPEG")

    return write


@pytest.fixture
def check_task() -> Callable[[Task, dict[str, int], tuple[int, ...]], None]:
    """Check what holds for every task of classification."""

    def check(task: Any, sizes: dict[str, int], shape: tuple[int, ...]) -> None:
        assert {split: len(task.dataset(split)) for split in sizes} == sizes
        for split in sizes:
            batch = task.collate([task.dataset(split)[i] for i in range(2)])
            assert batch.inputs.shape == (2, *shape)
            assert batch.inputs.dtype == torch.float32
            assert batch.inputs.isfinite().all()
            assert batch.inputs.std() > 0.1
        classes = task.head["classes"]
        assert task.encoder_options == {"channels": shape[0], "image_size": shape[1]}
        sure = torch.nn.functional.one_hot(batch.targets, classes).float() * 50
        assert task.loss(sure, batch.targets) < task.loss(sure.roll(1, 1), batch.targets)
        assert task.monitor in task.metrics()
        for metric in task.metrics().values():
            metric.update(sure, batch.targets)
            assert metric.compute() == 1
        records = task.describe(sure)
        assert [record["label"] for record in records] == [task.classes[i] for i in batch.targets]
        assert all(record["probability"] > 0.99 for record in records)
        json.dumps(records)

    return check


WriteFashionMNIST = Callable[..., Path]


def idx(array: np.ndarray) -> bytes:
    """Return an array as an IDX file of unsigned bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def to_idx() -> Callable[[np.ndarray], bytes]:
    return idx


@pytest.fixture
def write_fashion_mnist() -> WriteFashionMNIST:
    """Write the four IDX files, gzipped as they are published, with 60 and 20 images; return their folder."""

    def write(folder: Path, *, zipped: bool = True) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        for part, count in (("train", 60), ("t10k", 20)):
            for name, array in (
                ("images-idx3", random.integers(0, 256, (count, 28, 28))),
                ("labels-idx1", np.arange(count) % 10),
            ):
                path = folder / f"{part}-{name}-ubyte{'.gz' if zipped else ''}"
                path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
        return folder

    return write


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a folder on this machine; return the folder and its address."""
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
