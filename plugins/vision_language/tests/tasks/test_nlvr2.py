from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from itnet_core import DataError
from itnet_tasks import SkippedSampleWarning
from itnet_vision_language.tasks.nlvr2 import NLVR2


def test_the_published_layout(nlvr2: Path, check_task: Any) -> None:
    task = NLVR2(root=str(nlvr2), image_size=24)
    check_task(task, {"train": 12, "validation": 4, "test": 8}, (2, 3, 24, 24))
    sources: Any = task.dataset("train").sources, task.dataset("test").sources
    left, right = sources[0][0].images
    assert left == nlvr2 / "images/train/7/train-0-0-img0.png"
    assert right == nlvr2 / "images/train/7/train-0-0-img1.png"
    assert sources[1][0].images[0] == nlvr2 / "images/test1/test1-0-0-img0.png"
    assert task.head == {"name": "itnet-core/classify", "classes": 2}


def test_labels_are_whether_it_is_true_and_of_which_sentence(nlvr2: Path) -> None:
    labels = NLVR2(root=str(nlvr2)).dataset("test").labels
    # Sets 0 and 1, in each pairs 0 and 1, of each sentences 0 and 1.
    assert labels == [[0, 0], [1, 1], [1, 0], [0, 1], [0, 2], [1, 3], [1, 2], [0, 3]]


def test_consistency_is_the_share_of_sentences_all_of_whose_pairs_are_right() -> None:
    targets = torch.tensor([[0, 0], [1, 1], [1, 0], [0, 1], [1, 2]])
    answers = torch.tensor([0, 1, 0, 0, 1])  # the second pair of sentence 0 is wrong
    metrics = NLVR2(root="anywhere").metrics()
    for part in ([0, 1], [2, 3, 4]):
        for metric in metrics.values():
            metric.update(F.one_hot(answers[part], 2).float(), targets[part])
    assert metrics["accuracy"].compute() == pytest.approx(4 / 5)
    assert metrics["consistency"].compute() == pytest.approx(2 / 3)
    for metric in metrics.values():
        metric.reset()
        metric.update(F.one_hot(targets[:, 0], 2).float(), targets)
        assert metric.compute() == 1


def test_the_loss_looks_at_the_truth_alone() -> None:
    task, logits, truth = NLVR2(root="anywhere"), torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
    losses = [task.loss(logits, torch.stack([truth, sentence], 1)) for sentence in (truth, 7 + truth)]
    torch.testing.assert_close(losses[0], F.cross_entropy(logits, truth))
    torch.testing.assert_close(losses[1], losses[0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": "Maybe"}, "train.json:1.label: found 'Maybe'; expected 'True' or 'False'"),
        ({"sentence": ""}, "train.json:1.sentence: found an empty text"),
        ({"identifier": "train-1"}, "train.json:1.identifier: found 'train-1'; expected one like train-10171-0-0"),
        ({"directory": None}, "train.json:1.directory: found nothing"),
    ],
)
def test_a_wrong_line_is_refused_or_skipped(nlvr2: Path, edit_line: Any, fields: dict[str, Any], message: str) -> None:
    edit_line(nlvr2 / "train.json", **fields)
    with pytest.raises(DataError, match=message):
        NLVR2(root=str(nlvr2)).dataset("train")
    with pytest.warns(SkippedSampleWarning, match=message):
        assert len(NLVR2(root=str(nlvr2), on_bad_sample="skip").dataset("train")) == 11


def test_another_layout_is_refused(nlvr2: Path, edit_line: Any) -> None:
    edit_line(nlvr2 / "dev.json", label=True)
    with pytest.raises(DataError, match="dev.json:1.label: found True; expected Input should be a valid string"):
        NLVR2(root=str(nlvr2), on_bad_sample="skip").dataset("validation")


def test_a_missing_image_is_named(nlvr2: Path) -> None:
    (nlvr2 / "images/test1/test1-0-0-img1.png").unlink()
    with pytest.raises(DataError, match="test1-0-0-img1.png: found no such file"):
        NLVR2(root=str(nlvr2)).dataset("test")[0]


@pytest.mark.slow
def test_the_configuration_for_the_paper_fits_the_published_layout(nlvr2: Path, dry_run: Any) -> None:
    changed = [f"model.task.root={nlvr2}", "model.encoder.text={name: token}", "model.preset=itnet-tiny"]
    assert dry_run("nlvr2", *changed)["test"] == 8
