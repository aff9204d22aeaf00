from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import DataError
from itnet_tasks import SkippedSampleWarning
from itnet_vision_language.tasks.easy_vqa import EasyVQA


def test_the_packages_layout(easy_vqa: Path, check_task: Any) -> None:
    task = EasyVQA(root=str(easy_vqa))
    check_task(task, {"train": 18, "validation": 2, "test": 6}, (3, 64, 64))
    assert task.classes == ("circle", "no", "red", "yes")
    assert task.head == {"name": "itnet-core/classify", "classes": 4}


def test_validation_has_images_of_its_own(easy_vqa: Path) -> None:
    for seed in range(5):
        task = EasyVQA(root=str(easy_vqa), seed=seed, validation=0.3)
        train, validation = ({s.images for s in task.dataset(split).sources} for split in ("train", "validation"))
        assert not train & validation
        assert (len(train), len(validation)) == (7, 3)


def test_labels_are_the_answers(easy_vqa: Path, batch: Any) -> None:
    task = EasyVQA(root=str(easy_vqa))
    actual = batch(task, "test")
    assert [task.classes[i] for i in actual.targets] == ["red", "no"]
    assert list(actual.inputs.texts) == ["what color is the shape?", "is there a circle?"]
    sure = torch.nn.functional.one_hot(actual.targets, 4).float() * 50
    assert task.loss(sure, actual.targets) < task.loss(sure.roll(1, 1), actual.targets)
    assert [record["label"] for record in task.describe(sure)] == ["red", "no"]


def test_a_configuration_keeps_the_answers_where_the_data_are_not(easy_vqa: Path) -> None:
    config = EasyVQA(root=str(easy_vqa)).config.model_dump(mode="json")
    shutil.rmtree(easy_vqa)
    task = EasyVQA(**json.loads(json.dumps(config)))
    assert task.describe(torch.eye(4)[:1])[0]["label"] == "circle"
    with pytest.raises(DataError, match="answers.txt: found no such file"):
        _ = EasyVQA(root=str(easy_vqa)).head


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (["what is it?", "square", 0], r"questions.json.0.1: found 'square'; expected one of circle, no, red, yes"),
        (["", "red", 0], r"questions.json.0.0: found an empty text"),
    ],
)
def test_a_wrong_record_is_refused_or_skipped(easy_vqa: Path, edit: Any, record: list[Any], message: str) -> None:
    edit(easy_vqa / "test/questions.json", lambda content: content.__setitem__(0, record))
    with pytest.raises(DataError, match=message):
        EasyVQA(root=str(easy_vqa)).dataset("test")
    with pytest.warns(SkippedSampleWarning, match=message):
        assert len(EasyVQA(root=str(easy_vqa), on_bad_sample="skip").dataset("test")) == 5


def test_a_file_of_bad_records_alone_is_refused(easy_vqa: Path, write_json: Any) -> None:
    write_json(easy_vqa / "test/questions.json", [["", "red", 0]])
    with pytest.raises(DataError, match="an empty text"):
        EasyVQA(root=str(easy_vqa), on_bad_sample="skip").dataset("test")
    write_json(easy_vqa / "test/questions.json", [])
    with pytest.raises(DataError, match="questions.json: found no sample"):
        EasyVQA(root=str(easy_vqa)).dataset("test")


def test_broken_and_missing_files_are_named(easy_vqa: Path) -> None:
    (easy_vqa / "test/images/0.png").write_bytes((easy_vqa / "test/images/0.png").read_bytes()[:60])
    (easy_vqa / "test/images/1.png").unlink()
    dataset = EasyVQA(root=str(easy_vqa)).dataset("test")
    with pytest.raises(DataError, match="images/0.png: found a damaged"):
        dataset[0]
    with pytest.raises(DataError, match="images/1.png: found no such file"):
        dataset[2]
    (easy_vqa / "train/questions.json").unlink()
    with pytest.raises(DataError, match="train/questions.json: found no such file"):
        EasyVQA(root=str(easy_vqa)).dataset("train")
