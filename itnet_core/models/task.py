"""Tasks: what is learned. A task owns the data, the loss and the metrics, and says which modality and head it needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from torch import Tensor
from torch.utils.data import Dataset

from itnet_core.plugin.config import ComponentConfig, Configured

Split = Literal["train", "validation", "test"]


class Batch(NamedTuple):
    """What a task's `collate` makes of samples.

    Attributes:
        inputs: what the modality's encoder reads.
        targets: what `loss` and the metrics compare with; `None` where there are no labels.
    """

    inputs: Any
    targets: Any


class Metric(Protocol):
    """The part of a torchmetrics `Metric` that training uses; any such metric fits."""

    def update(self, prediction: Tensor, target: Any) -> None:
        """Take in a batch."""

    def compute(self) -> Any:
        """Return the metric over all that was taken in, as a scalar tensor."""

    def reset(self) -> None:
        """Forget all that was taken in."""


class Task(Configured, ABC):
    """Base of tasks: `Task(config)`.

    Attributes:
        modality: what its inputs are (`"image"`); the same word as in its `ComponentSpec`.
        monitor: the name of the metric that decides which checkpoint is best.
        monitor_mode: whether a larger (`"max"`) or a smaller (`"min"`) value of it is better.
    """

    modality: ClassVar[str]
    monitor: ClassVar[str]
    monitor_mode: ClassVar[Literal["max", "min"]] = "max"

    def __init__(self, config: ComponentConfig | None = None, **options: Any) -> None:
        self.config = self.configure(config, options)

    @property
    @abstractmethod
    def head(self) -> Mapping[str, Any]:
        """The head that it needs, its name in full, with options: `{"name": "itnet-core/classify", "classes": 10}`."""

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """What the data fixes in an encoder's configuration (`{"channels": 1}`); used where the user says nothing."""
        return {}

    @abstractmethod
    def dataset(self, split: Split) -> Dataset[Any]:
        """Return the samples of a split, by index. Augmentation belongs to the training split alone.

        A sample that is `None` is left out, and so is a batch that has no other.

        Raises:
            DataError: the data is not where the configuration says, or not in its published layout.
        """

    @abstractmethod
    def collate(self, samples: Sequence[Any]) -> Batch:
        """Return a batch of samples of `dataset`."""

    @abstractmethod
    def loss(self, prediction: Tensor, targets: Any) -> Tensor:
        """Return the training loss, a scalar."""

    @abstractmethod
    def metrics(self) -> Mapping[str, Metric]:
        """Return fresh metrics by name; `monitor` is one of them."""

    @abstractmethod
    def read(self, path: Path) -> Any:
        """Return the sample of a user's file, with no target, for prediction.

        Raises:
            DataError: the file is missing, truncated or of another format.
        """

    @abstractmethod
    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Return a batch of predictions as JSON-native records, one each: `{"label": "7", "probability": 0.99}`."""
