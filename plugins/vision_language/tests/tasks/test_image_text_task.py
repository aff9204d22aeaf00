"""What holds for all tasks on images with texts, by one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from itnet_core import ConfigError, DataError
from itnet_vision_language.tasks.easy_vqa import EasyVQA
from itnet_vision_language.tasks.nlvr2 import NLVR2


def test_a_users_file_is_seen_as_evaluation_sees_the_data_sets(easy_vqa: Path, write_json: Any) -> None:
    task = EasyVQA(root=str(easy_vqa))
    mine = write_json(easy_vqa / "test/mine.json", {"image": "images/0.png", "text": "what color is the shape?"})
    images, text = task.read(mine).inputs
    known: Any = task.dataset("test")[0]
    assert torch.equal(images, known.inputs[0])
    assert text == known.inputs[1]
    batch = task.collate([task.read(mine)])
    assert batch.inputs.images.shape == (1, 3, 64, 64)
    assert batch.targets is None


def test_two_images_may_go_with_a_text(nlvr2: Path, write_json: Any) -> None:
    task = NLVR2(root=str(nlvr2), image_size=16)
    names = [f"images/dev/dev-0-0-img{side}.png" for side in (0, 1)]
    mine = write_json(nlvr2 / "mine.json", {"image": names, "text": "True?"})
    assert task.collate([task.read(mine)]).inputs.images.shape == (1, 2, 3, 16, 16)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"image": "images/0.png", "text": " "}, "mine.json.text: found an empty text"),
        ({"image": "images/0.png"}, "mine.json.text: found nothing"),
        ({"image": ["a.png", "b.png"], "text": "a"}, "mine.json.image: found 2 images; expected 1"),
        ({"image": "no.png", "text": "a"}, "no.png: found no such file"),
    ],
)
def test_a_users_file_that_says_too_little_is_refused(
    easy_vqa: Path, write_json: Any, content: dict[str, Any], message: str
) -> None:
    mine = write_json(easy_vqa / "test/mine.json", content)
    with pytest.raises(DataError, match=message):
        EasyVQA(root=str(easy_vqa), on_bad_sample="skip").read(mine)


def test_nothing_of_an_image_is_cut_off(easy_vqa: Path, write_json: Any) -> None:
    """A wide image is squeezed: its left and right edges are seen."""
    wide = Image.new("RGB", (200, 20), "black")
    wide.paste("red", (0, 0, 20, 20))
    wide.paste("blue", (180, 0, 200, 20))
    wide.save(easy_vqa / "wide.png")
    mine = write_json(easy_vqa / "mine.json", {"image": "wide.png", "text": "a"})
    task = EasyVQA(root=str(easy_vqa))
    image = task.read(mine).inputs[0]
    assert image.shape == (3, 64, 64)
    mean, std = (torch.tensor(item).view(3, 1, 1) for item in task.normalization)
    light = image * std + mean
    assert light[0, :, 0].min() > 0.9  # red
    assert light[2, :, -1].min() > 0.9  # blue


def batch_of_all(task: Any, split: str) -> Any:
    dataset = task.dataset(split)
    return task.collate([dataset[i] for i in range(len(dataset))]).inputs


@pytest.mark.parametrize("missing", ["image", "text"])
def test_evaluation_may_lack_a_modality(easy_vqa: Path, missing: str) -> None:
    whole, task = EasyVQA(root=str(easy_vqa)), EasyVQA(root=str(easy_vqa), evaluation_missing=missing)
    known, actual = batch_of_all(whole, "test"), batch_of_all(task, "test")
    assert torch.equal(actual.images, torch.zeros_like(known.images) if missing == "image" else known.images)
    assert actual.texts == (["?"] * 6 if missing == "text" else known.texts)
    train, same = batch_of_all(task, "train"), batch_of_all(whole, "train")
    assert torch.equal(train.images, same.images)
    assert train.texts == same.texts


def test_training_drops_each_modality_with_the_probability_and_never_both(easy_vqa: Path) -> None:
    task = EasyVQA(root=str(easy_vqa), modality_dropout=0.3)
    torch.manual_seed(0)
    batches = [batch_of_all(task, "train") for _ in range(30)]
    no_image = torch.cat([(batch.images == 0).flatten(1).all(1) for batch in batches])
    no_text = torch.tensor([text == "?" for batch in batches for text in batch.texts])
    assert not (no_image & no_text).any()
    for dropped in (no_image, no_text):
        assert abs(float(dropped.float().mean()) - 0.3) < 0.06  # 3 standard deviations of 540 samples
    known, actual = batch_of_all(EasyVQA(root=str(easy_vqa)), "test"), batch_of_all(task, "test")
    assert torch.equal(actual.images, known.images)
    assert actual.texts == known.texts


def test_more_than_every_sample_cannot_lack_a_modality() -> None:
    with pytest.raises(ConfigError, match="modality_dropout: found 0.6"):
        EasyVQA(root="anywhere", modality_dropout=0.6)
