from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import DataError
from itnet_tasks import SkippedSampleWarning
from itnet_vision_language.tasks.easy_vqa_pairs import EasyVQAPairs


def task_of(root: Path, **options: Any) -> Any:
    sizes = {"training_samples": 40, "validation_samples": 8, "test_samples": 10}
    return EasyVQAPairs(**{"root": str(root), "validation": 0.5, **sizes, **options})


def images(task: Any, split: str) -> set[Path]:
    return set(chain.from_iterable(source.images for source in task.dataset(split).sources))


def test_the_packages_layout(easy_vqa_shapes: Path, check_task: Any) -> None:
    task = task_of(easy_vqa_shapes)
    check_task(task, {"train": 40, "validation": 8, "test": 10}, (2, 3, 64, 64))
    assert task.head == {"name": "itnet-core/classify", "classes": 2}
    assert images(task, "test") <= set((easy_vqa_shapes / "test/images").iterdir())


def test_half_of_the_pairs_are_true(easy_vqa_shapes: Path) -> None:
    task = task_of(easy_vqa_shapes)
    assert [sum(task.dataset(split).labels) for split in ("train", "validation")] == [20, 4]


def test_validation_has_images_of_its_own(easy_vqa_shapes: Path) -> None:
    for seed in range(5):
        task = task_of(easy_vqa_shapes, seed=seed, training_samples=1000, validation_samples=1000)
        train, validation = images(task, "train"), images(task, "validation")
        assert not train & validation
        assert (len(train), len(validation)) == (20, 20)


def test_the_seed_decides(easy_vqa_shapes: Path) -> None:
    one, same, other = (task_of(easy_vqa_shapes, seed=seed) for seed in (0, 0, 1))
    for split in ("train", "validation", "test"):
        assert one.dataset(split).sources == same.dataset(split).sources
        assert one.dataset(split).sources != other.dataset(split).sources
    more = task_of(easy_vqa_shapes, training_samples=80)
    assert more.dataset("train").sources[:40] == one.dataset("train").sources


def test_labels_are_the_truth_about_the_left_and_the_right_image(easy_vqa_shapes: Path) -> None:
    dataset = task_of(easy_vqa_shapes, test_samples=400).dataset("test")
    seen = 0
    for source, label in zip(dataset.sources, dataset.labels, strict=True):
        colors, shapes = zip(*((int(p.stem) % 2, int(p.stem) // 2 % 2) for p in source.images), strict=True)
        expected = {
            "the shapes have the same color": colors[0] == colors[1],
            "the images show different shapes": shapes[0] != shapes[1],
            "both images show a blue shape": colors == (1, 1),
            "the left image shows a triangle and the right image a red shape": (shapes[0], colors[1]) == (1, 0),
        }
        if source.text in expected:
            seen += 1
            assert label == expected[source.text]
    assert seen > 50


def test_a_wrong_record_is_refused_or_skipped(easy_vqa_shapes: Path, edit: Any) -> None:
    edit(easy_vqa_shapes / "test/questions.json", lambda content: content.append(["is it large?", "no", 0]))
    with pytest.raises(DataError, match="questions.json.24: found 'is it large.', 'no'"):
        task_of(easy_vqa_shapes).dataset("test")
    with pytest.warns(SkippedSampleWarning, match="1 of 13 samples"):
        assert len(task_of(easy_vqa_shapes, on_bad_sample="skip").dataset("test")) == 10


def test_too_few_validation_images_are_refused(easy_vqa_shapes: Path) -> None:
    with pytest.raises(DataError, match=r"train/questions.json: found .*Hold out more images"):
        task_of(easy_vqa_shapes, validation=0.02).dataset("validation")


def test_a_missing_image_is_named(easy_vqa_shapes: Path) -> None:
    dataset: Any = task_of(easy_vqa_shapes).dataset("test")
    dataset.sources[0].images[1].unlink()
    with pytest.raises(DataError, match="png: found no such file"):
        dataset[0]


@pytest.mark.parametrize("missing", ["image", "text"])
def test_evaluation_may_lack_a_modality(easy_vqa_shapes: Path, batch: Any, missing: str) -> None:
    inputs = batch(task_of(easy_vqa_shapes, evaluation_missing=missing), "test").inputs
    assert torch.equal(inputs.images, torch.zeros(2, 2, 3, 64, 64)) == (missing == "image")
    assert (inputs.texts == ["?", "?"]) == (missing == "text")
