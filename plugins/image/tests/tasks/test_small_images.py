from __future__ import annotations

import pytest
import torch

from itnet_core import DataError
from itnet_image.tasks.digits import Digits
from itnet_tasks import SkippedSampleWarning

PIXELS = torch.arange(4 * 64).view(4, 8, 8).to(torch.uint8)


def test_a_label_that_is_no_class_is_refused_with_its_record() -> None:
    with pytest.raises(DataError, match="labels.bin: found the label 17 in record 2; expected labels from 0 to 9"):
        Digits().labelled(PIXELS, [1, 2, 17, 3], "labels.bin")


def test_or_its_record_is_skipped_with_a_count() -> None:
    with pytest.warns(SkippedSampleWarning, match="2 of 4 samples skipped so far. labels.bin: found the label 17"):
        labelled = Digits(on_bad_sample="skip").labelled(PIXELS, [1, 17, 99, 3], "labels.bin")
    assert labelled.labels.tolist() == [1, 3]  # type: ignore[union-attr]
    assert torch.equal(torch.as_tensor(labelled.sources), PIXELS[[0, 3]])


def test_nothing_but_bad_records_is_refused_anyhow() -> None:
    with pytest.raises(DataError, match="the label 10 in record 0"):
        Digits(on_bad_sample="skip").labelled(PIXELS, [10] * 4, "labels.bin")


@pytest.mark.parametrize("labels", [[1, 2, 3], []])
def test_as_many_labels_as_images(labels: list[int]) -> None:
    with pytest.raises(DataError, match=f"4 images and {len(labels)} labels"):
        Digits(on_bad_sample="skip").labelled(PIXELS, labels, "labels.bin")
