from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from itnet_core import ConfigError, DataError
from itnet_image.tasks.digits import Digits
from itnet_image.tasks.fashion_mnist import FashionMNIST
from itnet_image.tasks.folder import ImageFolder
from itnet_image.tasks.image_classification import PrepareImage
from itnet_registry import create
from itnet_tasks.images import normalized_tensor


@pytest.fixture
def fashion(write_fashion_mnist: Callable[..., Path], tmp_path: Path) -> Callable[..., FashionMNIST]:
    root = write_fashion_mnist(tmp_path / "fashion-mnist")
    return lambda **options: FashionMNIST(root=str(root), **options)


@pytest.fixture
def training(fashion: Callable[..., FashionMNIST]) -> Callable[..., Tensor]:
    """Return how to load the same training image many times, under some options."""

    def load(**options: Any) -> Tensor:
        dataset = fashion(**options).dataset("train")
        return torch.stack([dataset[0].inputs for _ in range(40)])  # type: ignore[union-attr]

    return load


def test_evaluation_is_the_same_every_time(fashion: Callable[..., FashionMNIST]) -> None:
    for split in ("validation", "test"):
        dataset = fashion().dataset(split)
        assert torch.equal(dataset[0].inputs, dataset[0].inputs)  # type: ignore[union-attr]


def test_training_is_augmented_by_what_the_configuration_says(training: Callable[..., Tensor]) -> None:
    plain = training(augment=False)
    assert (plain == plain[0]).all()
    assert torch.equal(training(shift=0, flip=0), plain)
    mirrored = training(shift=0, flip=1)
    assert torch.equal(mirrored, plain.flip(-1))
    some = training(shift=0, flip=0.5)
    assert {torch.equal(item, plain[0]) for item in some} == {True, False}
    shifted = training(shift=2, flip=0)
    assert len(shifted.flatten(1).unique(dim=0)) > 9  # type: ignore[no-untyped-call]
    erased = training(shift=0, flip=0, erase=0.5)
    changed = (erased != plain).float().flatten(1).mean(1)  # the share of the pixels
    assert {bool(share > 0) for share in changed} == {True, False}
    assert changed.max() < 0.4
    operations = training(shift=0, flip=0, rand_augment=2)
    assert len(operations.flatten(1).unique(dim=0)) > 9  # type: ignore[no-untyped-call]


def test_augmentation_is_drawn_from_the_seed(training: Callable[..., Tensor]) -> None:
    def drawn() -> Tensor:
        torch.manual_seed(7)
        return training(flip=0.5)

    assert torch.equal(drawn(), drawn())


def test_images_are_normalised(fashion: Callable[..., FashionMNIST]) -> None:
    task = fashion()
    dataset = task.dataset("test")
    mean, std = (part[0] for part in task.normalization)
    expected = (torch.as_tensor(dataset.sources[0]) / 255 - mean) / std
    torch.testing.assert_close(dataset[0].inputs[0], expected)  # type: ignore[union-attr]


@pytest.mark.parametrize("flip", [-0.1, 1.1])
def test_a_probability_is_asked_for(flip: float) -> None:
    with pytest.raises(ConfigError, match="FashionMNIST.flip"):
        FashionMNIST(root="anywhere", flip=flip)


def test_a_users_image_is_seen_as_evaluation_sees_the_data_sets(
    write_folders: Callable[..., None], tmp_path: Path
) -> None:
    write_folders(tmp_path, {"train": 1, "val": 1, "test": 1})
    task = ImageFolder(root=str(tmp_path), image_size=12)
    sample = task.read(tmp_path / "test/cat/0.JPEG")
    assert torch.equal(sample.inputs, task.dataset("test")[0].inputs)  # type: ignore[union-attr]
    batch = task.collate([sample])
    assert batch.inputs.shape == (1, 3, 12, 12)
    assert batch.targets is None


@pytest.mark.parametrize("size", [(40, 30), (3, 5), (8, 8)])
def test_any_image_is_brought_to_the_size_of_the_data(
    size: tuple[int, int], write_image: Callable[..., Path], tmp_path: Path
) -> None:
    assert Digits().read(write_image(tmp_path / "mine.png", size=size)).inputs.shape == (1, 8, 8)


def test_a_users_bad_file_is_refused_whatever_is_done_in_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        Digits(on_bad_sample="skip").read(tmp_path / "none.png")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (40, 30), (31, 77), (5, 64)])
def test_the_preparation_for_evaluation_is_that_of_torchvision(size: tuple[int, int], channels: int) -> None:
    shape = (size[1], size[0]) if channels == 1 else (size[1], size[0], 3)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    mean, std = [0.4] * channels, [0.2] * channels
    to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std), v2.ToPureTensor()]
    expected = v2.Compose([v2.Resize(18), v2.CenterCrop(15), *to_tensor])(image)
    assert torch.equal(PrepareImage(18, 15, tuple(mean), tuple(std))(image), expected)
    squeezed = image.resize((9, 9), Image.Resampling.BILINEAR)
    assert torch.equal(normalized_tensor(squeezed, mean, std), v2.Compose([v2.Resize((9, 9)), *to_tensor])(image))


def test_an_image_in_memory_is_predicted_as_its_file_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    task = create("task", "image-folder", root="none", classes=["a", "b"], image_size=8)
    expected = task.read(tmp_path / "image.png").inputs
    for value in (
        Image.fromarray(pixels),
        pixels,
        pixels / 255,
        torch.from_numpy(pixels).permute(2, 0, 1),
        pixels.tolist(),
        {"image": tmp_path / "image.png", "note": 1},
    ):
        assert torch.equal(task.read(value).inputs, expected)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("image.png", "found the text 'image.png'; expected an image of Pillow"),
        (np.zeros((3, 8, 8), np.uint8), r"an array of shape \(3, 8, 8\)"),
        (np.full((8, 8), 16.0), "float64 from 16.0 to 16.0; expected whole numbers from 0 to 255"),
        (np.full((8, 8), np.nan), "from nan to nan"),
        (np.zeros((0, 8)), "shape"),
        ({"a": 1, "b": 2}, "found a mapping of 'a', 'b'; expected one by the name image"),
        (None, "found a NoneType"),
        ([[1, 2], [3]], "no array"),
    ],
)
def test_a_value_that_is_no_image_is_refused(value: Any, error: str) -> None:
    task = create("task", "digits")
    with pytest.raises(DataError, match=error):
        task.read(value)
