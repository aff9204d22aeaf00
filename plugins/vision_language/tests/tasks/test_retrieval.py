from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from itnet_core import DataError, ShapeError
from itnet_tasks import SkippedSampleWarning
from itnet_vision_language.tasks.retrieval import ImageTextRetrieval


@pytest.fixture
def table(write_image: Any, tmp_path: Path) -> Path:
    """Lay out 20 images with two captions each, undivided; return the folder."""
    rows = ["filename,caption"]
    for i in range(20):
        write_image(tmp_path / "images" / f"{i}.png")
        rows += [f"{i}.png,image {i}", f"{i}.png,number {i}"]
    (tmp_path / "captions.csv").write_text("\n".join(rows))
    return tmp_path


def test_karpathys_splits(karpathy: Path, check_task: Any, batch: Any) -> None:
    task = ImageTextRetrieval(root=str(karpathy), image_size=16)
    check_task(task, {"train": 10, "validation": 4, "test": 6}, (3, 16, 16))
    assert batch(task, "test", 3).targets.tolist() == [7, 7, 8]
    assert task.head == {"name": "itnet-vision-language/contrastive", "outputs": 256}
    assert task.encoder_options["union"] is False


def test_undivided_captions_are_divided_by_image(table: Path, check_task: Any) -> None:
    task = ImageTextRetrieval(
        root=str(table), captions="captions.csv", images=str(table / "images"), image_size=16, validation=0.25
    )
    check_task(task, {"train": 24, "validation": 8, "test": 8}, (3, 16, 16))
    parts = [{s.images for s in task.dataset(split).sources} for split in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 20
    other = ImageTextRetrieval(root=str(table), captions="captions.csv", images=str(table / "images"), test_fold=1)
    assert not parts[2] & {s.images for s in other.dataset("test").sources}


def test_the_loss_is_clips_where_every_image_is_there_once() -> None:
    task, prediction = ImageTextRetrieval(root="anywhere"), torch.randn(10, 8)
    images, texts = prediction.chunk(2)
    right, logits = torch.arange(5), images @ texts.T
    expected = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
    torch.testing.assert_close(task.loss(prediction, torch.tensor([7, 2, 9, 4, 0])), expected)


def test_captions_of_one_image_do_not_repel_each_other() -> None:
    """Where two captions of one image lie together, the loss cannot be less."""
    task, targets = ImageTextRetrieval(root="anywhere"), torch.tensor([3, 3, 8])
    together = torch.tensor([[9.0, 0], [9, 0], [0, 9]])
    loss = task.loss(torch.cat([together, together]), targets)
    assert loss == pytest.approx(2 / 3 * math.log(2), rel=1e-4)  # two of three share their probability among two
    apart = torch.tensor([[9.0, 0, 0], [0, 9, 0], [0, 0, 9]])
    assert loss < task.loss(torch.cat([apart, apart]), targets)


def test_an_encoder_that_unites_is_refused() -> None:
    with pytest.raises(ShapeError, match="found 4 embeddings for 4 images.*union: false"):
        ImageTextRetrieval(root="anywhere").loss(torch.randn(4, 8), torch.arange(4))


def test_predictions_are_described() -> None:
    images = torch.tensor([[2.0, 0], [0, 2]])
    texts = torch.tensor([[3.0, 0], [3, 0]])
    records = ImageTextRetrieval(root="anywhere").describe(torch.cat([images, texts]))
    assert records == [{"similarity": 1.0}, {"similarity": 0.0}]
    json.dumps(records)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sentences": [{"raw": ""}]}, "images.0.sentences.0: the caption of 0.jpg: found an empty text"),
        ({"split": "learn"}, r"images.0.sentences.0.split: found 'learn'"),
    ],
)
def test_bad_captions_are_refused_or_skipped(karpathy: Path, edit: Any, fields: dict[str, Any], message: str) -> None:
    edit(karpathy / "dataset_flickr30k.json", lambda content: content["images"][0].update(fields))
    with pytest.raises(DataError, match=message):
        ImageTextRetrieval(root=str(karpathy)).dataset("train")
    with pytest.warns(SkippedSampleWarning, match=message):
        assert len(ImageTextRetrieval(root=str(karpathy), on_bad_sample="skip").dataset("train")) == 8


def test_what_is_missing_is_named(karpathy: Path, edit: Any) -> None:
    (karpathy / "9.jpg").unlink()
    with pytest.raises(DataError, match="9.jpg: found no such file"):
        ImageTextRetrieval(root=str(karpathy)).dataset("test")[5]
    edit(karpathy / "dataset_flickr30k.json", lambda content: content["images"].__delitem__(slice(7, 10)))
    with pytest.raises(DataError, match="found no caption of split test"):
        ImageTextRetrieval(root=str(karpathy)).dataset("test")
    with pytest.raises(DataError, match="captions.csv: found no such file"):
        ImageTextRetrieval(root=str(karpathy), captions="captions.csv").dataset("test")


def test_a_split_for_some_captions_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("filename,caption,split\na.png,red,train\nb.png,blue,\n")
    with pytest.raises(DataError, match="found no split for b.png, and one for others"):
        ImageTextRetrieval(root=str(tmp_path), captions="a.csv").dataset("train")
