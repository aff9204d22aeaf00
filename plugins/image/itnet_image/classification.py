"""What all tasks of classifying pictures share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy
from torchvision.transforms import v2

from itnet_core import Batch, ComponentConfig, DataError, Task
from itnet_core.task import Metric, Split
from itnet_image.dataset import OnBadSample, PictureDataset, Sample, Source, stratified
from itnet_image.files import open_picture


class Labelled(NamedTuple):
    """The pictures of a part of a data set, before any transform: where each is, and its class."""

    sources: Sequence[Source]
    labels: Tensor

    def select(self, indices: Tensor) -> Labelled:
        """Return some of them."""
        if isinstance(self.sources, Tensor):
            return Labelled(self.sources[indices], self.labels[indices])
        return Labelled([self.sources[i] for i in indices.tolist()], self.labels[indices])


class ImageClassification(Task):
    """Base of the tasks: a data set says where its pictures are (`training`, `test`) and how its classes are called.

    The validation split is a stratified, seeded part of the training pictures, unless the data set has one of its own.

    Attributes:
        channels: 1 for grey pictures, 3 for colour.
        image_size: side of the square pictures that encoders get, in pixels.
        normalization: mean and standard deviation of a channel, for pixels in [0, 1].
        flip: whether a mirrored picture shows the same thing; training then mirrors half of them.
        shift: by how many pixels training moves pictures at most.
    """

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            validation: share of the training pictures that are held out to choose the best checkpoint.
            seed: of that choice.
            augment: whether training pictures are moved, and mirrored where that makes sense.
            label_smoothing: of the cross entropy.
            on_bad_sample: `refuse` or `skip` pictures that cannot be read; each is named.
        """

        validation: float = ConfigField(default=0.1, gt=0, lt=1)
        seed: NonNegativeInt = 0
        augment: bool = True
        label_smoothing: float = ConfigField(default=0.0, ge=0, lt=1)
        on_bad_sample: OnBadSample = "refuse"

    modality = "image"
    monitor = "accuracy"
    channels: ClassVar[int] = 3
    normalization: ClassVar[tuple[Sequence[float], Sequence[float]]] = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    flip: ClassVar[bool] = True
    shift: ClassVar[int] = 0
    image_size: int

    @property
    @abstractmethod
    def classes(self) -> Sequence[str]:
        """The classes' names, in the order of their numbers."""

    @abstractmethod
    def training(self) -> Labelled:
        """Return the training pictures, those for validation among them."""

    @abstractmethod
    def test(self) -> Labelled:
        """Return the test pictures."""

    def validation(self) -> Labelled | None:
        """Return the data set's own validation pictures, if it has any."""
        return None

    @property
    def head(self) -> Mapping[str, Any]:
        """A classification head with the task's classes."""
        return {"name": "classify", "classes": len(self.classes)}

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """The pictures' channels."""
        return {"channels": self.channels}

    def dataset(self, split: Split) -> PictureDataset:
        """Return the pictures of a split.

        Raises:
            DataError: the data set is not where the configuration says, or not in its published layout.
        """
        labelled = self.test() if split == "test" else self._training_parts[split]
        transform = self.training_transform() if split == "train" and self.config.augment else self.transform()
        return PictureDataset(
            labelled.sources,
            labelled.labels.tolist(),
            channels=self.channels,
            transform=transform,
            on_bad_sample=self.config.on_bad_sample,
        )

    @cached_property
    def _training_parts(self) -> dict[Split, Labelled]:
        training, own = self.training(), self.validation()
        if own is not None:
            return {"train": training, "validation": own}
        rest, part = stratified(training.labels, self.config.validation, self.config.seed)
        return {"train": training.select(rest), "validation": training.select(part)}

    def transform(self) -> v2.Transform:
        """Return how pictures are prepared for evaluation and prediction."""
        size = self.image_size
        return v2.Compose([v2.Resize(size), v2.CenterCrop(size), *self._to_tensor()])

    def training_transform(self) -> v2.Transform:
        """Return how pictures are prepared for training."""
        size = self.image_size
        crop = [v2.RandomCrop(size, padding=self.shift)] if self.shift else []
        flip = [v2.RandomHorizontalFlip()] if self.flip else []
        return v2.Compose([v2.Resize(size), v2.CenterCrop(size), *crop, *flip, *self._to_tensor()])

    def _to_tensor(self) -> list[v2.Transform]:
        mean, std = self.normalization
        return [
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(mean), list(std)),
            v2.ToPureTensor(),
        ]

    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        """Return pictures (B, C, H, W) and classes (B,), without the samples that were skipped.

        Raises:
            DataError: no sample is left.
        """
        kept = [sample for sample in samples if sample is not None]
        if not kept:
            raise DataError(
                "a batch", found=f"{len(samples)} pictures that cannot be read", expected="at least one that can"
            )
        labels = [sample.label for sample in kept]
        targets = None if None in labels else torch.tensor(labels)
        return Batch(torch.stack([sample.picture for sample in kept]), targets)

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy of logits (B, classes)."""
        return F.cross_entropy(prediction, targets, label_smoothing=self.config.label_smoothing)

    def metrics(self) -> Mapping[str, Metric]:
        """Return the share of pictures whose class has the largest logit."""
        return {"accuracy": MulticlassAccuracy(len(self.classes), average="micro")}

    def read(self, path: Path) -> Sample:
        """Return a user's picture as evaluation sees the data set's.

        Raises:
            DataError: the file is missing, truncated, or no picture.
        """
        return Sample(self.transform()(open_picture(Path(path), self.channels)), None)

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Return for each sample its label, the label's probability, and the five likeliest."""
        top = prediction.softmax(-1).topk(min(5, len(self.classes)))
        records = []
        for probabilities, indices in zip(top.values.tolist(), top.indices.tolist(), strict=True):
            likeliest = {self.classes[i]: p for i, p in zip(indices, probabilities, strict=True)}
            records.append({"label": self.classes[indices[0]], "probability": probabilities[0], "likeliest": likeliest})
        return records


def labelled_arrays(pixels: Any, labels: Any) -> Labelled:
    """Return pictures that are in memory, uint8 of shape (N, H, W) or (N, H, W, 3), with their classes (N,)."""
    return Labelled(torch.as_tensor(pixels, dtype=torch.uint8), torch.as_tensor(labels, dtype=torch.int64))  # type: ignore[arg-type]


def existing(root: Path, expected: str, mend: str = "") -> Path:
    """Return a folder that has to be there.

    Raises:
        DataError: it is not.
    """
    root = root.expanduser()
    if not root.is_dir():
        raise DataError(str(root), found="no such folder", expected=expected, mend=mend)
    return root
