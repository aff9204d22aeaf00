from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from itnet_core import Batch, DataError, Field, Metric, Split, Task
from itnet_registry import Predictor, create_model


class Points(Task):
    """Predict a number at each of some numbers, `[1, 2.5]`, which a user may write to a file `.num`."""

    modality, monitor, suffixes = "field", "none", (".num",)

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    @property
    def head(self) -> Mapping[str, Any]:
        return {"name": "itnet-core/per-point", "outputs": 1}

    def dataset(self, split: Split) -> Dataset[Any]:
        raise NotImplementedError

    def collate(self, samples: Sequence[Tensor]) -> Batch:
        self.batches.append(len(samples))
        values = torch.stack(list(samples)).unsqueeze(-1)
        return Batch(Field(values, torch.zeros(*values.shape[:2], 4)), None)

    def loss(self, prediction: Tensor, targets: Any) -> Tensor:
        raise NotImplementedError

    def metrics(self) -> Mapping[str, Metric]:
        return {}

    def read(self, source: Any) -> Tensor:
        if isinstance(source, Path):
            if not source.is_file():
                raise DataError(str(source), found="no such file", expected="numbers")
            source = source.read_text().split()
        if isinstance(source, Mapping):
            source = source["numbers"]
        if isinstance(source, Path):
            return self.read(source)
        try:
            return torch.tensor([float(number) for number in source])
        except (TypeError, ValueError):
            raise DataError("input", found=f"{source!r}", expected="numbers") from None

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        return [{"values": values.flatten().tolist()} for values in prediction]


class Words(Points):
    """Texts of numbers."""

    reads_text = True

    def read(self, source: Any) -> Tensor:
        return super().read(source.split() if isinstance(source, str) else source)


@pytest.fixture
def predictor() -> Predictor:
    torch.manual_seed(0)
    head = {"name": "per-point", "outputs": 1}
    model = create_model("itnet-nano", depth=1, encoder={"name": "field", "channels": 1}, head=head)
    return Predictor(model.eval(), Points(), device="cpu")


@pytest.fixture
def words(predictor: Predictor) -> Predictor:
    return Predictor(predictor.model, Words(), device="cpu")
