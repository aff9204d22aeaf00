from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from itnet_core import ConfigError, DataError
from itnet_tasks import SkippedSampleWarning
from itnet_vision_language.metrics.vqa_accuracy import VQATargets
from itnet_vision_language.tasks.vqa_v2 import VQAv2

ANNOTATIONS = "v2_mscoco_train2014_annotations.json"
QUESTIONS = "v2_OpenEnded_mscoco_train2014_questions.json"


def test_the_published_layout(vqa: Path, check_task: Any) -> None:
    task = VQAv2(root=str(vqa), image_size=24)
    check_task(task, {"train": 18, "validation": 2, "test": 6}, (3, 24, 24))
    source: Any = task.dataset("test").sources[0]
    assert source.images[0].name == "COCO_val2014_000000000042.jpg"


def test_images_may_lie_elsewhere(vqa: Path, tmp_path: Path, batch: Any) -> None:
    (tmp_path / "coco").mkdir()
    for part in ("train2014", "val2014"):
        (vqa / part).rename(tmp_path / "coco" / part)
    task = VQAv2(root=str(vqa), images=str(tmp_path / "coco"))
    assert batch(task, "test").inputs.images.shape == (2, 3, 224, 224)


def test_validation_is_held_out_by_image(vqa: Path) -> None:
    task = VQAv2(root=str(vqa))
    train, validation = ({s.images for s in task.dataset(split).sources} for split in ("train", "validation"))
    assert not train & validation
    assert len(train | validation) == 10


def test_the_vocabulary_is_of_the_most_frequent_training_answers(vqa: Path, edit: Any) -> None:
    def more(content: Any) -> None:
        for annotation, answer in zip(content["annotations"], ["No!", "no", "the no", "A cat"], strict=False):
            annotation["multiple_choice_answer"] = answer

    edit(vqa / ANNOTATIONS, more)
    edit(vqa / "v2_mscoco_val2014_annotations.json", lambda c: c["annotations"][0].update(multiple_choice_answer="x"))
    assert VQAv2(root=str(vqa)).vocabulary == ("2", "yes", "no", "cat")  # 8 + 8, 3 after normalisation, 1
    assert VQAv2(root=str(vqa), answers=3).head == {"name": "itnet-core/classify", "classes": 3}


def test_a_configuration_keeps_the_vocabulary_where_the_data_are_not(vqa: Path) -> None:
    config = VQAv2(root=str(vqa)).config.model_dump(mode="json")
    shutil.rmtree(vqa)
    task = VQAv2(**json.loads(json.dumps(config)))
    assert task.head["classes"] == 2
    assert task.describe(torch.tensor([[0.0, 3.0]]))[0]["answer"] == "yes"


def test_without_data_and_vocabulary_the_head_cannot_be_known(tmp_path: Path) -> None:
    task = VQAv2(root=str(tmp_path))
    with pytest.raises(DataError, match="no such file"):
        _ = task.head


def test_scores_are_those_of_three_annotators(vqa: Path, batch: Any) -> None:
    task = VQAv2(root=str(vqa), vocabulary=["2", "yes", "red 1", "blue"])
    targets = batch(task, "test").targets
    # "how many": 8 × 2, and Two; "is it day?": 8 × yes, "the red one" and "Two" once each.
    expected = torch.tensor([[1, 0, 1 / 3, 0], [1 / 3, 1, 1 / 3, 0]])
    torch.testing.assert_close(targets.scores, expected)
    assert targets.human_answers[0] == ("2",) * 8 + ("the red one", "Two")


def test_the_loss_is_the_binary_cross_entropy_summed_over_answers() -> None:
    task = VQAv2(root="anywhere", vocabulary=["a", "b", "c"])
    logits, scores = torch.randn(4, 3), torch.rand(4, 3)
    p = logits.sigmoid()
    expected = -(scores * p.log() + (1 - scores) * (1 - p).log()).sum(1).mean()
    torch.testing.assert_close(task.loss(logits, VQATargets(scores, [])), expected)


def test_the_metric_is_the_mean_of_the_official_accuracy() -> None:
    metric = VQAv2(root="anywhere", vocabulary=["2", "yes"]).metrics()["accuracy"]
    given = [["Two!", "2", *"abcdefgh"], ["yes"] * 10, ["no"] * 10]  # 0.6, 1, 0
    logits = F.one_hot(torch.tensor([0, 1, 1]), 2).float()
    for item in range(3):
        metric.update(logits[item : item + 1], VQATargets(torch.zeros(1, 2), given[item : item + 1]))
    assert metric.compute() == pytest.approx(1.6 / 3)
    metric.reset()
    metric.update(logits, VQATargets(torch.zeros(3, 2), given))
    assert metric.compute() == pytest.approx(1.6 / 3)


def test_predictions_are_described(vqa: Path) -> None:
    [record] = VQAv2(root=str(vqa)).describe(torch.tensor([[5.0, -5.0]]))
    assert record["answer"] == "2"
    assert record["score"] > 0.99
    assert list(record["likeliest"]) == ["2", "yes"]
    json.dumps(record)


def first(what: str, **fields: Any) -> Any:
    return lambda content: content[what][0].update(fields)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (ANNOTATIONS, first("annotations", question_id=5), "annotations.0.question_id: found 5, which is unknown"),
        (ANNOTATIONS, first("annotations", question_id=9001), "found 9001, which is unknown or repeated"),
        (ANNOTATIONS, first("annotations", image_id=10), "found image 10; expected 9, as question 9000 has"),
        (ANNOTATIONS, first("annotations", answers=[]), "annotations.0.answers: found no answer"),
        (QUESTIONS, first("questions", question=" "), "question 9000: found an empty text"),
        (ANNOTATIONS, lambda c: c["annotations"].pop(0), "found question 9000, which no annotation answers"),
    ],
)
def test_what_does_not_match_is_refused_or_skipped(vqa: Path, edit: Any, file: str, change: Any, message: str) -> None:
    edit(vqa / file, change)
    with pytest.raises(DataError, match=message) as refused:
        VQAv2(root=str(vqa)).dataset("train")
    assert "on_bad_sample: skip" in str(refused.value)
    task = VQAv2(root=str(vqa), on_bad_sample="skip")
    with pytest.warns(SkippedSampleWarning, match="skipped so far"):
        dataset = task.dataset("train")
    assert len(dataset) + len(task.dataset("validation")) in (18, 19)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (ANNOTATIONS, first("annotations", question_id="x"), "annotations.0.question_id: found 'x'"),
        (ANNOTATIONS, lambda c: c.pop("annotations"), "annotations: found nothing"),
        (QUESTIONS, first("questions", question=3), "questions.0.question: found 3"),
    ],
)
def test_another_layout_is_refused_whatever_is_skipped(
    vqa: Path, edit: Any, file: str, change: Any, message: str
) -> None:
    edit(vqa / file, change)
    with pytest.raises(DataError, match=message):
        VQAv2(root=str(vqa), on_bad_sample="skip").dataset("train")


def test_a_missing_image_is_named(vqa: Path) -> None:
    (vqa / "val2014/COCO_val2014_000000000042.jpg").unlink()
    with pytest.raises(DataError, match="COCO_val2014_000000000042.jpg: found no such file"):
        VQAv2(root=str(vqa)).dataset("test")[0]
    dataset = VQAv2(root=str(vqa), on_bad_sample="skip").dataset("test")
    with pytest.warns(SkippedSampleWarning, match="1 of 6 samples"):
        assert dataset[0] is None


def test_a_root_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="VQAv2.root: found nothing"):
        VQAv2()


@pytest.mark.slow
def test_the_configuration_for_the_paper_fits_the_published_layout(vqa: Path, dry_run: Any) -> None:
    changed = [f"model.task.root={vqa}", "model.encoder.text={name: token}", "model.preset=itnet-tiny"]
    assert dry_run("vqa", *changed)["test"] == 6
