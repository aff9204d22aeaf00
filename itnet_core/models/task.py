"""Tasks own the data, the loss and the metrics, and declare the modality and the head that they need."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from torch import Tensor
from torch.utils.data import Dataset

from itnet_core.models.detection import Detection
from itnet_core.plugin.config import ComponentConfig, Configured

Split = Literal["train", "validation", "test"]


class Batch(NamedTuple):
    """A batch of samples, from `Task.collate`.

    Example:
        >>> batch = Batch(inputs=torch.rand(2, 1, 8, 8), targets=torch.tensor([3, 7]))
        >>> batch.targets
        tensor([3, 7])

    Attributes:
        inputs: the input of the modality's encoder.
        targets: the targets of `loss` and the metrics; `None` without labels.
    """

    inputs: Any
    targets: Any


class Metric(Protocol):
    """The part of a torchmetrics `Metric` that training uses.

    Example:
        >>> from torchmetrics.regression import MeanSquaredError
        >>> metric: Metric = MeanSquaredError()
        >>> metric.update(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
        >>> metric.compute()
        tensor(2.)
    """

    def update(self, prediction: Tensor, target: Any) -> None:
        """Add a batch."""

    def compute(self) -> Any:
        """Return the metric over all batches since the last reset, as a scalar tensor."""

    def reset(self) -> None:
        """Remove all batches."""


class Task(Configured, ABC):
    """Base class of tasks: `Task(config)` provides the data, the loss and the metrics.

    Most tasks derive from a base in `itnet_tasks`, such as `Classification`; see docs/guides/write_a_task.md.

    Example:
        >>> from itnet_registry import create
        >>> task = create("task", "itnet-image/digits")
        >>> dataset = task.dataset("test")
        >>> batch = task.collate([dataset[0], dataset[1]])
        >>> batch.inputs.shape, task.loss(torch.zeros(2, 10), batch.targets)
        (torch.Size([2, 1, 8, 8]), tensor(2.3026))

    Attributes:
        modality: the modality of its inputs (`"image"`), as in its `ComponentSpec`.
        monitor: the metric that decides which checkpoint is best.
        accepts_probabilities: whether `loss` takes class probabilities (B, classes) in place of class numbers, which
            mixed samples have as their targets (`train.mixup`).
        compares_samples: whether `loss` compares the samples of a batch with each other, as a contrastive loss does.
            Several processes then compute it over the samples of all; targets are a tensor, and predictions have a row
            for each sample, or as many blocks of such rows.
        monitor_mode: whether a larger (`"max"`) or a smaller (`"min"`) value of that metric is better.
        suffixes: lower-case suffixes of the files that `read` reads, such as `.png`; others in a folder are not
            predicted. Without any, all files of a folder are.
        reads_text: whether a string is a text that `read` reads. Otherwise a user's string is the name of a file.
        mixes_sizes: whether predictions of samples of different sizes are the same in one batch, with padding, as
            alone. Otherwise only samples of one size share a batch; so it must be for predictions at every point.
        top_k: the largest number of labels that `describe` lists, which a `Predictor` sets.
    """

    modality: ClassVar[str]
    monitor: ClassVar[str]
    monitor_mode: ClassVar[Literal["max", "min"]] = "max"
    accepts_probabilities: ClassVar[bool] = False
    suffixes: ClassVar[Sequence[str]] = ()
    reads_text: ClassVar[bool] = False
    mixes_sizes: ClassVar[bool] = False
    compares_samples: ClassVar[bool] = False
    top_k: int = 5

    @classmethod
    def detect(cls, path: Path) -> Detection | None:
        """Return what the task could learn from a user's folder or file, or `None`; `itnet init` asks all tasks.

        Override it in a task on users' own data. It reads a part of the files, and raises nothing for those that the
        task does not read.
        """
        return None

    def __init__(self, config: ComponentConfig | None = None, **options: Any) -> None:
        self.config = self.configure(config, options)

    @property
    @abstractmethod
    def head(self) -> Mapping[str, Any]:
        """The head with its options, named in full: `{"name": "itnet-core/classify", "classes": 10}`."""

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """Options of the encoder that the data determines, `{"channels": 1}`; the user's options take precedence."""
        return {}

    def check_model(self, predict: Callable[[Any], Tensor]) -> None:
        """Check a model before it is trained or evaluated; by default, every model passes.

        Override it where a model could get a good score without learning the task, such as by reading the answer from
        its input.

        Args:
            predict: maps inputs as `collate` returns them to the model's prediction.

        Raises:
            ConfigError: the model does not suit the task.
        """

    @abstractmethod
    def dataset(self, split: Split) -> Dataset[Any]:
        """Return the samples of a split, by index. Only the training split is augmented.

        A sample that is `None` is skipped, and so is a batch that consists of such samples alone.

        Raises:
            DataError: the data is missing, or not in its published layout.
        """

    def lengths(self, split: Split) -> Sequence[float] | None:
        """Return the length of each sample of a split, in any unit, or `None` if samples have no lengths that differ.

        Batches of samples of similar length have little padding (`train.bucket`).

        Raises:
            DataError: as for `dataset`.
        """
        return None

    def chunks(self, split: Split) -> Sequence[int] | None:
        """Return the numbers of samples in consecutive chunks of a split, such as files; `None` if it has none.

        Declare them where the samples of a chunk are read much faster together (`train.shuffle_buffer`).

        Raises:
            DataError: as for `dataset`.
        """
        return None

    @abstractmethod
    def collate(self, samples: Sequence[Any]) -> Batch:
        """Collate samples of `dataset` into a batch."""

    @abstractmethod
    def loss(self, prediction: Tensor, targets: Any) -> Tensor:
        """Compute the training loss, a scalar."""

    @abstractmethod
    def metrics(self) -> Mapping[str, Metric]:
        """Return new metrics by name, `monitor` among them."""

    @abstractmethod
    def read(self, source: Any) -> Any:
        """Read a user's file, or a value in memory, as a sample without a target, for prediction.

        Only a `Path`, or one in a mapping or a tuple, is opened as a file. A string never is, so that a value that
        came over a network cannot name a file of this machine.

        Args:
            source: the `Path` of a file; or a value: an image, an array, a text, or a mapping of several by their
                names, such as a row of a table.

        Raises:
            DataError: the file is missing, truncated or of another format, or the value is of another kind.
        """

    def parts(self, path: Path) -> Sequence[tuple[str, Any]]:
        """Split a user's file into sources of `read`, each with a name; by default, the file is one sample.

        Raises:
            DataError: the file is missing, or of another format.
        """
        return [(str(path), path)]

    @abstractmethod
    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Describe each prediction of a batch by a JSON-native record, `{"label": "7", "probability": 0.99}`."""
