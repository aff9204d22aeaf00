from __future__ import annotations

import pytest
import torch
from torch import Tensor

from itnet_pointcloud.data.shapenet import PARTS
from itnet_pointcloud.tasks.chosen_parts import PADDING
from itnet_pointcloud.tasks.part_metrics import ClassIoU, InstanceIoU, PointAccuracy, categories_of


def logits(parts: Tensor) -> Tensor:
    return 10 * torch.nn.functional.one_hot(parts.clamp(min=0), 50).float()


def measured(prediction: Tensor, *batches: Tensor) -> dict[str, float]:
    """Return all metrics after one batch, or after parts of it one by one."""
    metrics = {"instance": InstanceIoU(), "class": ClassIoU(), "points": PointAccuracy()}
    for metric in metrics.values():
        for before, batch in zip([0, *map(len, batches)], batches, strict=False):
            metric.update(prediction[before : before + len(batch)], batch)
    return {name: metric.compute().item() for name, metric in metrics.items()}


def test_worked_by_hand() -> None:
    """A bag (parts 4, 5), predicted 4 4 4 5 for 4 4 5 5: 2/3 and 1/2. Two mugs (36, 37), one right, one of one part."""
    true = torch.tensor([[4, 4, 5, 5], [36, 36, 37, 37], [36, 36, 36, 36]])
    said = torch.tensor([[4, 4, 4, 5], [36, 36, 37, 37], [36, 36, 36, 36]])
    bag = (2 / 3 + 1 / 2) / 2
    assert measured(logits(said), true) == {
        "instance": pytest.approx((bag + 1 + 1) / 3),
        "class": pytest.approx((bag + 1) / 2),
        "points": pytest.approx(11 / 12),
    }


def test_a_part_that_is_not_there_but_said_counts_as_0() -> None:
    """A mug of one part, of which a point is said to be the other: 3/4 and 0."""
    true, said = torch.tensor([[36, 36, 36, 36]]), torch.tensor([[36, 36, 36, 37]])
    assert measured(logits(said), true)["instance"] == pytest.approx(3 / 8)


def test_padding_never_counts() -> None:
    true = torch.tensor([[4, 4, 5, 5], [8, 9, PADDING, PADDING]])
    for there in (8, 9, 10):  # whatever is said of points that are not there
        said = torch.tensor([[4, 4, 5, 4], [8, 8, there, there]])
        values = measured(logits(said), true)
        assert values["points"] == pytest.approx(4 / 6)
        short = InstanceIoU()
        short.update(logits(said)[:1], true[:1])
        short.update(logits(said)[1:, :2], true[1:, :2])
        assert values["instance"] == pytest.approx(short.compute().item())


def test_only_the_categorys_parts_are_chosen_from() -> None:
    """Another category's part may be likelier everywhere."""
    true = torch.tensor([[4, 5]])
    prediction = logits(true)
    prediction[..., 20] = 100
    assert measured(prediction, true) == {"instance": 1, "class": 1, "points": 1}


def test_batches_do_not_matter() -> None:
    categories = torch.arange(16).repeat(2)
    true = torch.stack([torch.tensor(PARTS[c])[torch.randint(len(PARTS[c]), (9,))] for c in categories.tolist()])
    prediction = torch.randn(32, 9, 50)
    whole, halves = measured(prediction, true), measured(prediction, true[:16], true[16:])
    assert whole == pytest.approx(halves)
    assert 0 < whole["instance"] < 1
    assert torch.equal(categories_of(true), categories)
