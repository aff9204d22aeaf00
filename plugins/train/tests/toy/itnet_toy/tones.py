from __future__ import annotations

import json
import math
import os
import random
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy
import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from itnet_core import Batch, ComponentConfig, DataError, Encoder, Field, Split, Task

LENGTH, TONES = 12, 3
SEEDS: dict[Split, int] = {"train": 1, "validation": 2, "test": 3}


class SignalEncoder(Encoder):
    """A point in time for each sample; inputs are {"samples": (B, N)}."""

    modality: ClassVar[str] = "signal"

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.linear = nn.Linear(1, dim)

    def forward(self, inputs: Mapping[str, Tensor]) -> Field:
        return Field.on_grid(self.linear(inputs["samples"].unsqueeze(-1)), axes="t")

    def example(self) -> dict[str, Tensor]:
        return {"samples": torch.randn(2, LENGTH)}


class Signals(Dataset[dict[str, Any]]):
    """Sines of random phase; in training with fresh noise from all three generators.

    With ITNET_TOY_FAULT in the environment, after so many training samples the process gets a signal (`SIGKILL:150`),
    or samples are not numbers (`nan:150`); of several processes, the one of a rank alone (`SIGKILL:150:1`).
    """

    def __init__(self, split: Split, size: int, noise: float, refused: int | None) -> None:
        generator = torch.Generator().manual_seed(SEEDS[split])
        self.labels = torch.randint(TONES, (size,), generator=generator)
        phases = torch.rand(size, 1, generator=generator)
        times = torch.arange(LENGTH) / LENGTH
        self.samples = torch.sin(2 * math.pi * (times * (1.0 + self.labels.unsqueeze(1)) + phases))
        self.noise = noise if split == "train" else 0.0
        self.refused = refused if split == "train" else None
        self.fault, *numbers = os.environ.get("ITNET_TOY_FAULT", "").split(":")
        mine = numbers[1:] in ([], [os.environ.get("LOCAL_RANK", "0")])
        self.left = int(numbers[0]) if numbers and mine and split == "train" else None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == self.refused:
            raise DataError(f"signal {index}", found="silence", expected="a tone")
        noise = torch.randn(LENGTH) + float(numpy.random.randn()) + random.gauss(0, 1)
        if self.left is not None:
            self.left -= 1
            if self.left < 0 and self.fault == "nan":
                noise = noise * math.nan
            elif self.left < 0:
                os.kill(os.getpid(), signal.Signals[self.fault])
        return {"samples": self.samples[index] + self.noise * noise, "label": self.labels[index]}


class Tones(Task):
    """Which of three tones a short signal is."""

    modality: ClassVar[str] = "signal"
    monitor: ClassVar[str] = "accuracy"

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            size: signals in each split.
            noise: of the training split.
            refused: the index of a training signal that cannot be read.
        """

        size: PositiveInt = 96
        noise: NonNegativeFloat = 0.05
        refused: int | None = None

    @property
    def head(self) -> Mapping[str, Any]:
        return {"name": "itnet-core/classify", "classes": TONES}

    def dataset(self, split: Split) -> Dataset[dict[str, Any]]:
        return Signals(split, self.config.size, self.config.noise, self.config.refused)

    def collate(self, samples: Sequence[Mapping[str, Any]]) -> Batch:
        inputs = {"samples": torch.stack([sample["samples"] for sample in samples])}
        labelled = all("label" in sample for sample in samples)
        return Batch(inputs, torch.stack([sample["label"] for sample in samples]) if labelled else None)

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(prediction, targets)

    def metrics(self) -> Mapping[str, Any]:
        from torchmetrics.classification import MulticlassAccuracy

        return {"accuracy": MulticlassAccuracy(TONES, average="micro")}

    def read(self, source: Any) -> dict[str, Tensor]:
        try:
            samples = torch.tensor(json.loads(source.read_text()) if isinstance(source, Path) else source)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise DataError(str(source), found=str(error), expected=f"{LENGTH} numbers in JSON") from None
        return {"samples": samples}

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        probabilities = prediction.softmax(-1)
        return [{"tone": int(p.argmax()), "probability": float(p.max())} for p in probabilities]


class EchoEncoder(SignalEncoder):
    """Reads signals as another modality."""

    modality: ClassVar[str] = "echo"


class Echoes(Tones):
    """The same tones as another modality's task."""

    modality: ClassVar[str] = "echo"
