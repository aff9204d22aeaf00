"""Part segmentation of shapes, point by point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from itnet_core import Batch, DataError, Metric, ShapeError
from itnet_pointcloud.data.augmentation import AugmentationConfig, Axis, CloudAugmentation, Factor, Rotation
from itnet_pointcloud.data.shapenet import CATEGORIES, IDENTIFIERS, category_of, read_shape, shapes
from itnet_pointcloud.data.surface import to_unit_sphere
from itnet_pointcloud.data.values import cloud_of
from itnet_pointcloud.points import Cloud, PointClouds
from itnet_pointcloud.tasks.chosen_parts import OF_CATEGORY, PADDING, chosen_parts
from itnet_tasks import Labelled, LabelledTask, Sample
from itnet_tasks.values import PLACE


class Parted(NamedTuple):
    """A cloud and its points' parts, shape (N,), if known."""

    cloud: Cloud
    parts: Tensor | None


class PartSegmentation(LabelledTask):
    """ShapeNet's part annotation: 16,881 shapes of 16 categories, 50 parts (Yi et al., SIGGRAPH Asia 2016).

    Reads the published text version with normals, `<category id>/<name>.txt`, and its splits (`train_test_split`).
    Training uses some of a shape's points, evaluation all. As in the benchmark, a shape's category is known: it is a
    feature of the points, and predictions are limited to its parts.

    Example:
        >>> task = PartSegmentation(root="shapenet")
        >>> task.encoder_options, task.head  # 3 coordinates of a normal and 16 categories; 50 parts
        ({'features': 19}, {'name': 'itnet-core/per-point', 'outputs': 50})
    """

    class Config(LabelledTask.Config, AugmentationConfig):
        """`validation` and `seed` have no effect, because the data set has a validation split."""

        root: str
        """Folder of the data."""

        points: PositiveInt = 2048
        """Largest number of points of a training cloud."""

        normals: bool = True
        """Use the normals as features."""

        category: bool = True
        """Use the category as a feature, one-hot in 16 numbers."""

        up: Axis = "y"
        """Axis of the data that points up."""

        rotation: Rotation = "none"
        """Random rotation about the `vertical` axis, about `any` axis, or `none`."""

        stretch: Factor = 1.1
        """Largest factor by which a cloud is enlarged or shrunk along each axis separately."""

        jitter: float = 0.005
        """Standard deviation of the noise on each coordinate, truncated at twice as much."""

    modality = "point-cloud"
    suffixes = (".txt",)
    monitor = "instance_miou"

    @property
    def head(self) -> Mapping[str, Any]:
        """A head with a logit for each part at every point."""
        return {"name": "itnet-core/per-point", "outputs": OF_CATEGORY.shape[1]}

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """Number of features."""
        return {"features": 3 * self.config.normals + len(CATEGORIES) * self.config.category}

    def training(self) -> Labelled:
        """Return the shapes of the published training split, with their categories."""
        return shapes(Path(self.config.root).expanduser(), "train")

    def validation(self) -> Labelled:
        """Return the shapes of the published validation split."""
        return shapes(Path(self.config.root).expanduser(), "val")

    def test(self) -> Labelled:
        """Return the shapes of the published test split."""
        return shapes(Path(self.config.root).expanduser(), "test")

    def loader(self, *, training: bool) -> PartLoader:
        """Return a function from a file to a cloud with parts."""
        c = self.config
        augmentation = CloudAugmentation(c, normals=c.normals) if training and c.augment else None
        return PartLoader(c.normals, c.category, c.points if training else None, augmentation)

    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        """Collate clouds, and their points' parts (B, N), with padding of weight 0 and part −1."""
        return super().collate([sample and Sample(*sample.inputs) for sample in samples])

    def read(self, source: Any) -> Sample:
        """Read the shape of a user's file, whose lines may lack the part, or of points with normals in memory.

        A mapping has `points` and `normals`, each (N, 3), and the name of the `category`, if it is a feature.

        Raises:
            DataError: the file or the value is no sound shape, or its category is needed as a feature, and neither the
                folder of a file nor a mapping names it.
        """
        loader = replace(self.loader(training=False), labelled=False)
        if isinstance(source, Path):
            cloud, _ = loader(source)
        else:
            name = source.get("category") if isinstance(source, Mapping) else None
            category = CATEGORIES.index(name) if name in CATEGORIES else None
            found = "no category" if name is None else f"the category {name!r:.60}"
            cloud = loader.prepare(cloud_of(source, normals=True), category, PLACE, found)
        return Sample(Parted(cloud, None), None)

    def collate_inputs(self, inputs: Sequence[Cloud]) -> PointClouds:
        """Collate clouds."""
        return PointClouds.of(inputs)

    def collate_targets(self, labels: Sequence[Tensor]) -> Tensor:
        """Collate the points' parts, shape (B, N)."""
        return pad_sequence(list(labels), batch_first=True, padding_value=PADDING)

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean cross entropy over the points that are not padding.

        Raises:
            ShapeError: the prediction is at other points than the clouds'.
        """
        if prediction.shape[:2] != targets.shape:
            raise ShapeError(
                "PartSegmentation.loss(prediction)",
                found=f"shape {tuple(prediction.shape)}",
                expected=f"a prediction for each of the points, {tuple(targets.shape)}",
                hint="Use the encoder 'point', not 'local-group', whose field lies at other points. If the trunk "
                "changes its query points, end it with {query: {block: encoder}}.",
            )
        return F.cross_entropy(prediction.flatten(0, 1), targets.flatten(), ignore_index=PADDING)

    def metrics(self) -> Mapping[str, Metric]:
        """Return mean intersection over union by shape and by category, and accuracy by point."""
        from itnet_pointcloud.tasks.part_metrics import ClassIoU, InstanceIoU, PointAccuracy  # seconds of imports

        return {"instance_miou": InstanceIoU(), "class_miou": ClassIoU(), "point_accuracy": PointAccuracy()}

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Describe each shape by its likeliest category, and the part of each point among that category's."""
        likelihood = prediction.softmax(-1).sum(1) @ OF_CATEGORY.T.to(prediction)
        categories = likelihood.argmax(-1)
        chosen = chosen_parts(prediction, categories)
        names = [CATEGORIES[number] for number in categories.tolist()]
        return [{"category": name, "parts": parts} for name, parts in zip(names, chosen.tolist(), strict=True)]


@dataclass(frozen=True)
class PartLoader:
    """A function that loads a shape's file as a cloud with parts.

    Attributes:
        normals: use normals as features.
        category: use the category as a feature.
        points: largest number of points, drawn at random; all by default.
        augmentation: for training; `None` for evaluation.
        labelled: require the parts in the file.
    """

    normals: bool
    category: bool
    points: int | None = None
    augmentation: CloudAugmentation | None = None
    labelled: bool = True

    def __call__(self, file: Path) -> Parted:
        """Load a file's cloud, scaled to the unit sphere.

        Raises:
            DataError: the file contains no sound shape, or its category is needed as a feature and its folder does not
                name it.
        """
        cloud, parts = read_shape(file, labelled=self.labelled)
        if self.points is not None:
            order = torch.randperm(len(cloud.positions))[: self.points]
            cloud, parts = cloud.select(order), None if parts is None else parts[order]
        return Parted(self.prepare(cloud, category_of(file), str(file), f"a folder {file.parent.name!r}"), parts)

    def prepare(self, cloud: Cloud, category: int | None, place: str, found: str) -> Cloud:
        """Scale a cloud with normals to the unit sphere, augment it, and add its category to its features.

        Raises:
            DataError: the category is needed and unknown.
        """
        cloud = to_unit_sphere(cloud if self.normals else cloud._replace(features=cloud.features[:, :0]))
        cloud = cloud if self.augmentation is None else self.augmentation(cloud)
        if not self.category:
            return cloud
        if category is None:
            known = CATEGORIES if place == PLACE else IDENTIFIERS
            raise DataError(
                place,
                found=found,
                expected=f"one of {', '.join(known)}, because the category is a feature",
                hint="Put it in the folder of its category, or train with category: false.",
            )
        one_hot = F.one_hot(torch.tensor(category), len(CATEGORIES)).to(cloud.features)
        features = torch.cat([cloud.features, one_hot.expand(len(cloud.features), -1)], dim=-1)
        return cloud._replace(features=features)
