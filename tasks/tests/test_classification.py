"""The base of tasks of classification, on the digits: nothing in it is about images."""

from __future__ import annotations

import math

import pytest
import torch

from itnet_core import ConfigError, DataError
from itnet_image.tasks.digits import Digits
from itnet_tasks import Sample


def test_the_validation_split_is_a_part_of_training_that_the_seed_decides() -> None:
    def validation(**options: float) -> torch.Tensor:
        return torch.as_tensor(Digits(**options).dataset("validation").sources)  # type: ignore[arg-type]

    assert torch.equal(validation(seed=1), validation(seed=1))
    assert not torch.equal(validation(seed=1), validation(seed=2))
    assert len(validation(validation=0.5)) == pytest.approx(0.5 * 1438, abs=10)


def test_the_test_split_does_not_depend_on_choices() -> None:
    first, second = (Digits(seed=seed, validation=share).dataset("test") for seed, share in ((0, 0.1), (5, 0.3)))
    assert first.labels == second.labels
    assert torch.equal(first.sources, second.sources)  # type: ignore[arg-type]


def test_splits_share_no_sample() -> None:
    task = Digits()
    seen = [{bytes(item.numpy()) for item in task.dataset(split).sources} for split in ("train", "validation", "test")]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 1797  # no digit is twice in the data


def test_label_smoothing_is_that_of_the_cross_entropy() -> None:
    logits, targets = torch.tensor([[2.0, 0, 0, 0]]), torch.tensor([0])
    log_probabilities = logits.log_softmax(-1)[0]
    expected = -(0.9 + 0.1 / 4) * log_probabilities[0] - 0.1 / 4 * log_probabilities[1:].sum()
    torch.testing.assert_close(Digits(label_smoothing=0.1).loss(logits, targets), expected)


def test_the_loss_accepts_probabilities_as_the_mixture_of_classes() -> None:
    task, logits, classes = Digits(label_smoothing=0.1), torch.randn(5, 10), torch.randint(10, (2, 5))
    one_hot = torch.nn.functional.one_hot(classes, 10).float()
    torch.testing.assert_close(task.loss(logits, one_hot[0]), task.loss(logits, classes[0]))
    mixed = task.loss(logits, 0.3 * one_hot[0] + 0.7 * one_hot[1])
    torch.testing.assert_close(mixed, 0.3 * task.loss(logits, classes[0]) + 0.7 * task.loss(logits, classes[1]))


def test_describing_gives_the_likeliest_labels_with_their_probabilities() -> None:
    probabilities = torch.tensor([[0.02, 0.02, 0.02, 0.5, 0.3, 0.1, 0.01, 0.01, 0.01, 0.01]])
    [record] = Digits().describe(probabilities.log())
    assert record["label"] == "3"
    assert record["probability"] == pytest.approx(0.5)
    assert list(record["likeliest"])[:3] == ["3", "4", "5"]
    assert len(record["likeliest"]) == 5
    assert math.isclose(record["likeliest"]["4"], 0.3, rel_tol=1e-5)


def test_a_batch_leaves_skipped_samples_out_and_is_never_empty() -> None:
    task, sample = Digits(), Sample(torch.zeros(1, 8, 8), 7)
    batch = task.collate([None, sample, None, sample])
    assert batch.inputs.shape == (2, 1, 8, 8)
    assert batch.targets.tolist() == [7, 7]
    with pytest.raises(DataError, match=r"Digits.collate: found a batch of 3 samples that cannot be read"):
        task.collate([None] * 3)


@pytest.mark.parametrize(
    ("field", "value"),
    [("validation", 0), ("validation", 1), ("label_smoothing", 1), ("on_bad_sample", "ignore"), ("seed", -1)],
)
def test_values_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"Digits.{field}"):
        Digits(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("classes", "found"), [(("one",), "only 'one'"), ((), "none")])
def test_one_class_alone_is_refused(classes: tuple[str, ...], found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the head is asked for, so that a configuration is refused before anything is trained."""
    monkeypatch.setattr(Digits, "classes", classes)
    with pytest.raises(DataError, match=f"Digits.classes: found {found}; expected at least two"):
        _ = Digits().head


def test_training_samples_are_a_part_of_every_class_and_leave_the_other_splits_alone() -> None:
    few, every = Digits(training_samples=200), Digits()
    part, whole = few.dataset("train"), every.dataset("train")
    assert len(part) == pytest.approx(200, abs=10)
    assert {bytes(item.numpy()) for item in part.sources} < {bytes(item.numpy()) for item in whole.sources}
    shares = torch.as_tensor(part.labels).bincount() / torch.as_tensor(whole.labels).bincount()
    assert float(shares.max() - shares.min()) < 0.02
    for split in ("validation", "test"):
        assert torch.equal(torch.as_tensor(few.dataset(split).labels), torch.as_tensor(every.dataset(split).labels))
    assert len(Digits(training_samples=10_000).dataset("train")) == len(whole)
