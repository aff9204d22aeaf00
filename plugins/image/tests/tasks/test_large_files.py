"""The same images in a folder, in shards and in tables are the same samples."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import webdataset as wds
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageColumn
from PIL import Image

from itnet_core import DataError, Split
from itnet_image.tasks.folder import ImageFolder
from itnet_image.tasks.shards import ImageShards
from itnet_image.tasks.table import ImageTable
from itnet_tasks import SkippedSampleWarning
from itnet_tasks.large_files import LargeFiles
from itnet_testing import TaskConformance

CLASSES = ("cat", "dog")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Samples = list[tuple[bytes, int]]


@pytest.fixture(autouse=True)
def _tables_of_the_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave the user's cache of Arrow files alone."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "huggingface")


@pytest.fixture
def samples() -> Samples:
    """Encoded images with class numbers, sorted by class as folders are."""
    random, found = np.random.default_rng(0), []
    for number in range(24):
        file = io.BytesIO()
        pixels = random.integers(0, 256, (20 + number % 3, 18, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file, ("png", "jpeg")[number % 2])
        found.append((file.getvalue(), number // 12))
    return found


def write_shards(folder: Path, samples: Samples, label: Callable[[int], dict[str, Any]]) -> None:
    with wds.ShardWriter(str(folder / "pets-%03d.tar"), maxcount=7, verbose=0) as writer:
        for number, (image, kind) in enumerate(samples):
            writer.write({"__key__": f"pets/{number:04}", "jpg": image, **label(kind)})


def table(samples: Samples, **columns: Sequence[Any]) -> Dataset:
    features = Features({"image": ImageColumn(), "label": ClassLabel(names=list(CLASSES))})
    rows = {"image": [{"bytes": image} for image, _ in samples], "label": [kind for _, kind in samples]}
    return Dataset.from_dict(rows, features=features)


def in_folder(folder: Path, samples: Samples) -> ImageFolder:
    for number, (image, kind) in enumerate(samples):
        path = folder / "folders" / CLASSES[kind] / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    return ImageFolder(root=str(folder / "folders"), image_size=16)


def by_number(folder: Path, samples: Samples) -> ImageShards:
    write_shards(folder, samples, lambda kind: {"cls": kind})
    return ImageShards(root=str(folder), train="pets-*.tar", image_size=16, classes=CLASSES)


def by_name(folder: Path, samples: Samples) -> ImageShards:
    write_shards(folder, samples, lambda kind: {"name.txt": CLASSES[kind]})
    return ImageShards(root=str(folder), train="pets-{000..003}.tar", image_size=16, label="name.txt")


def by_field(folder: Path, samples: Samples) -> ImageShards:
    write_shards(folder, samples, lambda kind: {"json": {"kind": CLASSES[kind], "width": 18}})
    return ImageShards(root=str(folder), train="pets-*.tar", image_size=16, label="json", label_field="kind")


def in_parquet(folder: Path, samples: Samples) -> ImageTable:
    table(samples[:15]).to_parquet(folder / "a-0.parquet")
    table(samples[15:]).to_parquet(folder / "a-1.parquet")
    return ImageTable(root=str(folder), train="a-*.parquet", image_size=16)


def streamed(folder: Path, samples: Samples) -> ImageTable:
    table(samples).to_parquet(folder / "s.parquet", batch_size=5)
    return ImageTable(root=str(folder), train="s.parquet", image_size=16, stream_gigabytes=1e-6)


def saved(folder: Path, samples: Samples) -> ImageTable:
    table(samples).save_to_disk(folder / "saved")
    return ImageTable(root=str(folder), train="saved", image_size=16)


def in_arrow(folder: Path, samples: Samples) -> ImageTable:
    table(samples).save_to_disk(folder / "saved")
    return ImageTable(root=str(folder), train="saved/*.arrow", image_size=16)


def plain(folder: Path, samples: Samples) -> ImageTable:
    rows = {"pixels": [image for image, _ in samples], "kind": [CLASSES[kind] for _, kind in samples]}
    Dataset.from_dict(rows).to_parquet(folder / "a.parquet")
    return ImageTable(root=str(folder), train="a.parquet", image="pixels", label="kind", image_size=16)


WAYS = (by_number, by_name, by_field, in_parquet, streamed, saved, in_arrow, plain)


@pytest.mark.parametrize("way", WAYS)
def test_samples_are_those_of_a_folder_of_images(
    way: Callable[[Path, Samples], LargeFiles], samples: Samples, tmp_path: Path
) -> None:
    expected, task = in_folder(tmp_path, samples), way(tmp_path, samples)
    assert task.classes == CLASSES
    assert task.config.completed().classes == CLASSES
    for split in SPLITS:
        mine, others = task.dataset(split), expected.dataset(split)
        assert mine.labels == others.labels
        for index in range(len(others)):
            torch.manual_seed(index)
            image = mine[index]
            torch.manual_seed(index)
            torch.testing.assert_close(image, others[index], rtol=0, atol=0)
    assert sum(task.chunks("train") or []) == len(task.dataset("train"))


@pytest.mark.parametrize("way", [by_name, in_parquet, streamed])
def test_worker_processes_of_all_systems_read_the_samples(
    way: Callable[[Path, Samples], LargeFiles], samples: Samples, tmp_path: Path
) -> None:
    dataset = way(tmp_path, samples).dataset("test")
    torch.testing.assert_close(pickle.loads(pickle.dumps(dataset))[3], dataset[3], rtol=0, atol=0)


def test_shards_are_read_as_webdataset_reads_them(samples: Samples, tmp_path: Path) -> None:
    task = by_number(tmp_path, samples)
    rows = task.rows(sorted(tmp_path.glob("*.tar")))
    read = wds.WebDataset(sorted(map(str, tmp_path.glob("*.tar"))), shardshuffle=False).decode("pil")
    for index, sample in enumerate(read):
        np.testing.assert_array_equal(np.asarray(task.decode(rows.sources[index])), np.asarray(sample["jpg"]))
        assert (rows.labels[index], sample["__key__"] in rows.places[index]) == (str(sample["cls"]), True)
    assert [len(samples), 4] == [index + 1, len(rows.sources.chunks())]


def test_files_of_their_own_for_each_split(samples: Samples, tmp_path: Path) -> None:
    write_shards(tmp_path, samples, lambda kind: {"cls": kind})
    shards = ImageShards(
        root=str(tmp_path), train=("pets-000.tar", "pets-003.tar"), validation_files="pets-001.tar", test="pets-002.tar"
    )
    assert [len(shards.dataset(split)) for split in SPLITS] == [10, 7, 7]
    table(samples[:9]).to_parquet(tmp_path / "t.parquet")
    table(samples[9:]).to_parquet(tmp_path / "v.parquet")
    tables = ImageTable(root=str(tmp_path), train="t.parquet", validation_files="v.parquet", test="t.parquet")
    assert [len(tables.dataset(split)) for split in SPLITS] == [9, 15, 9]
    assert tables.dataset("validation").labels == [0] * 3 + [1] * 12


def test_the_files_may_be_gone_where_a_model_predicts(samples: Samples, tmp_path: Path) -> None:
    for task in (by_number(tmp_path, samples), in_parquet(tmp_path, samples)):
        config = task.config.completed().model_dump(mode="json") | {"root": "elsewhere"}
        again = type(task)(**config)
        assert (again.head["classes"], again.classes) == (2, CLASSES)
        assert again.read(Image.new("RGB", (9, 9))).inputs.shape == (3, 16, 16)
        with pytest.raises(DataError, match="elsewhere"):
            again.dataset("test")


def broken(samples: Samples) -> list[dict[str, Any]]:
    parts = [{"__key__": str(number), "jpg": image, "cls": str(kind)} for number, (image, kind) in enumerate(samples)]
    del parts[1]["jpg"], parts[2]["cls"]
    parts[3]["cls"], parts[4]["cls"] = "bird", "-1"
    return parts


def test_samples_without_an_image_or_a_label_are_refused_or_skipped(samples: Samples, tmp_path: Path) -> None:
    with wds.TarWriter(str(tmp_path / "a.tar")) as writer:
        for part in broken(samples):
            writer.write(part)
    options: dict[str, Any] = {"root": str(tmp_path), "train": "a.tar", "classes": CLASSES, "image_size": 16}
    with pytest.raises(DataError, match=r"a.tar, sample 1: found no image; expected .* on_bad_sample: skip"):
        ImageShards(**options).dataset("train")
    task = ImageShards(**options, on_bad_sample="skip")
    with pytest.warns(SkippedSampleWarning, match="4 of 24 samples skipped so far. .*sample 1"):
        assert sum(len(task.dataset(split)) for split in SPLITS) == 20


@pytest.mark.parametrize(("number", "found"), [(2, "the label None"), (3, "the label 'bird'"), (4, "the label '-1'")])
def test_a_label_is_named(number: int, found: str, samples: Samples, tmp_path: Path) -> None:
    with wds.TarWriter(str(tmp_path / "a.tar")) as writer:
        for part in [broken(samples)[number], *broken(samples)[5:]]:
            writer.write(part)
    with pytest.raises(DataError, match=f"sample {number}: found {found}; expected .* below 2, or one of cat, dog"):
        ImageShards(root=str(tmp_path), train="a.tar", classes=CLASSES).dataset("train")


def test_a_damaged_image_is_named(samples: Samples, tmp_path: Path) -> None:
    samples[3] = (samples[3][0][:99], 0)
    places = {by_number: "pets-000.tar, pets/0003.jpg", in_parquet: "a-0.parquet, row 3"}
    for way, place in places.items():
        task: Any = way(tmp_path, samples)
        rows = task.rows([*sorted(tmp_path.glob("*.tar"))] if way is by_number else [*tmp_path.glob("a-0.parquet")])
        with pytest.raises(DataError, match=f"{place}: found a damaged or unreadable file"):
            task.decode(rows.sources[3])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": [b""], "label": [0]}, "found columns picture, label; expected a column 'image'"),
        ({"image": [b""]}, "found columns image; expected a column 'label'"),
        ({"image": list[bytes](), "label": list[int]()}, "found no such table .*no data"),
    ],
)
def test_other_tables_are_refused(columns: Mapping[str, Any], message: str, tmp_path: Path) -> None:
    Dataset.from_dict(dict(columns)).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=f"a.parquet: {message}"):
        ImageTable(root=str(tmp_path), train="a.parquet").dataset("train")


def test_no_path_in_a_table_is_opened(samples: Samples, tmp_path: Path, write_image: Callable[..., Path]) -> None:
    secret = str(write_image(tmp_path / "secret.png"))
    for rows in ([{"path": secret, "bytes": None}] * 10, [secret] * 10):
        Dataset.from_dict({"image": rows, "label": [0, 1] * 5}).to_parquet(tmp_path / "a.parquet")
        with pytest.raises(DataError, match="row 0: found a path in column 'image'; expected the bytes of a file"):
            ImageTable(root=str(tmp_path), train="a.parquet", test="a.parquet").dataset("test")[0]


def test_damaged_tables_are_refused(samples: Samples, tmp_path: Path) -> None:
    in_parquet(tmp_path, samples)
    content = (tmp_path / "a-0.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[: len(content) // 2])
    (tmp_path / "cut.arrow").write_bytes(content[:9])
    (tmp_path / "folder").mkdir()
    for name, gigabytes in (("cut.parquet", 0), ("cut.parquet", 1), ("cut.arrow", 0), ("folder", 0)):
        with pytest.raises(DataError, match=f"{name}: found no such table"):
            ImageTable(root=str(tmp_path), train=name, stream_gigabytes=gigabytes).dataset("train")


def test_labels_that_are_no_classes_are_refused(samples: Samples, tmp_path: Path) -> None:
    for label in ("1730000000", ""):
        write_shards(tmp_path, samples, lambda kind, label=label: {"cls": label, "json": {}})  # type: ignore[misc]
        with pytest.raises(DataError, match="found labels up to 1730000000" if label else "the label"):
            ImageShards(root=str(tmp_path), train="pets-*.tar", classes=CLASSES if not label else None).dataset("train")
    with pytest.raises(DataError, match="found no label"):
        ImageShards(root=str(tmp_path), train="pets-*.tar", label="json", label_field="kind").dataset("train")


class LargeConformance(TaskConformance):
    images: Sequence[Any]
    encoder: ClassVar = {"name": "itnet-image/patch", "patch_size": 4}
    way: Callable[[Path, Samples], LargeFiles]

    @pytest.fixture(autouse=True)
    def _files(self, samples: Samples, write_image: Callable[..., Path], tmp_path: Path) -> None:
        task = type(self).way(tmp_path, samples)
        self.written = json.loads(task.config.model_dump_json())
        self.write_image = write_image

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return {name: value for name, value in self.written.items() if name != "classes"}

    def user_values(self) -> Sequence[Any]:
        return self.images

    def user_file(self, folder: Path) -> Path:
        return self.write_image(folder / "cat.png")


class TestShardsConformance(LargeConformance):
    component = "itnet-image/image-shards"
    way = staticmethod(by_name)


class TestTableConformance(LargeConformance):
    component = "itnet-image/image-table"
    way = staticmethod(in_parquet)


@pytest.mark.parametrize("way", [in_folder, by_number, in_parquet])
@pytest.mark.parametrize("channels", [1, 3])
def test_cached_images_are_decoded_once_and_augmented_each_time(
    way: Callable[[Path, Samples], Any], channels: int, samples: Samples, tmp_path: Path, monkeypatch: Any
) -> None:
    task = way(tmp_path, samples)
    kind, options = type(task), task.config.model_dump() | {"channels": channels}
    decode, decoded = kind.decode, []

    def count(self: Any, source: Any) -> Image.Image:
        decoded.extend([] if isinstance(source, Image.Image) else [source])
        return decode(self, source)

    expected = kind(**options).dataset("train")
    monkeypatch.setattr(kind, "decode", count)
    options["cache_gigabytes"] = 0.1
    cached = kind(**options).dataset("train")
    another = kind(**options).dataset("train")  # as in another process
    for seed, dataset in enumerate((cached, cached, another)):
        for index in range(len(expected)):
            torch.manual_seed(index + 100 * seed)
            image = dataset[index]
            torch.manual_seed(index + 100 * seed)
            torch.testing.assert_close(image, expected[index], rtol=0, atol=0)
    assert len(decoded) == len(expected)


def test_another_content_of_the_same_file_is_decoded_again(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    for colour in ("red", "green"):
        for name in CLASSES:
            for number in range(5):
                path = tmp_path / name / f"{number}.png"
                path.parent.mkdir(exist_ok=True)
                Image.new("RGB", (9 if colour == "red" else 8, 9), colour).save(path)
        task = ImageFolder(root=str(tmp_path), image_size=8, cache_gigabytes=0.1, augment=False)
        image = task.dataset("test")[0].inputs  # type: ignore[union-attr]
        assert (image[0].mean() > image[1].mean()) == (colour == "red")


def test_a_damaged_image_is_not_cached(samples: Samples, tmp_path: Path) -> None:
    in_folder(tmp_path, [(content[:99], kind) for content, kind in samples])
    dataset = ImageFolder(root=str(tmp_path / "folders"), cache_gigabytes=0.1).dataset("train")
    for _ in range(2):
        with pytest.raises(DataError, match="a damaged or unreadable file"):
            dataset[0]
