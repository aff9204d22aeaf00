"""ModelNet40 and ModelNet10."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import NonNegativeFloat

from itnet_core import DataError
from itnet_pointcloud.data.augmentation import Factor
from itnet_pointcloud.tasks.shape_classification import ShapeClassification
from itnet_tasks import Labelled, class_files

FORTY = (
    "airplane bathtub bed bench bookshelf bottle bowl car chair cone cup curtain desk door dresser flower_pot "
    "glass_box guitar keyboard lamp laptop mantel monitor night_stand person piano plant radio range_hood sink sofa "
    "stairs stool table tent toilet tv_stand vase wardrobe xbox"
)
TEN = "bathtub bed chair desk dresser monitor night_stand sofa table toilet"


class ModelNet40(ShapeClassification):
    """12,311 meshes of 40 kinds of objects (Wu et al., "3D ShapeNets", CVPR 2015), upright along z.

    Reads `<class>/train/*.off` and `<class>/test/*.off` below `root/raw` (the layout of torch_geometric's
    `ModelNet(root, "40")`), below `root/ModelNet40` (the unpacked archive), or below `root` itself. The `processed`
    files of torch_geometric are pickled, and are not read.

    Example:
        >>> task = ModelNet40(root="modelnet", normals=True)
        >>> task.encoder_options, list(task.metrics())
        ({'features': 3}, ['accuracy', 'mean_class_accuracy'])
    """

    class Config(ShapeClassification.Config):
        download: bool = False
        """Allow downloading and unpacking the archive into `root` if the meshes are missing."""

        stretch: Factor = 1.2
        """Largest factor by which a cloud is enlarged or shrunk along each axis separately."""

        jitter: NonNegativeFloat = 0.01
        """Standard deviation of the noise on each coordinate, truncated at twice as much."""

    number: ClassVar[str] = "40"
    classes = tuple(FORTY.split())

    def training(self) -> Labelled:
        """Return the meshes of the published training split."""
        return self._split("train")

    def test(self) -> Labelled:
        """Return the meshes of the published test split."""
        return self._split("test")

    def _split(self, split: str) -> Labelled:
        everything = self._everything
        chosen = [path.parent.name == split for path in everything.sources]
        labelled = everything.select(torch.tensor(chosen).nonzero().squeeze(1))
        missing = set(range(len(self.classes))) - set(labelled.labels.tolist())  # type: ignore[union-attr]
        if missing:
            missing_folder = self._folder / self.classes[min(missing)] / split
            raise DataError(
                str(missing_folder), found="no mesh", expected=f"files ending in .off, as in ModelNet{self.number}"
            )
        return labelled

    @cached_property
    def _everything(self) -> Labelled:
        return class_files(self._folder, self.classes, [".off"])

    @cached_property
    def _folder(self) -> Path:
        root = Path(self.config.root).expanduser()
        folders = [root / "raw", root / f"ModelNet{self.number}", root]
        folder = next((path for path in folders if (path / self.classes[0]).is_dir()), None)
        if folder is None and self.config.download:
            _download(root, self.number)
            folder = folders[0]
        if folder is None:
            raise DataError(
                str(root),
                found=f"no folder {self.classes[0]}, nor in raw or ModelNet{self.number}",
                expected=f"ModelNet{self.number}'s folders of classes",
                hint="Set root to where they are, or download: true.",
            )
        return folder


class ModelNet10(ModelNet40):
    """4,899 meshes of 10 kinds of furniture, all with the same orientation; read like `ModelNet40`.

    Example:
        >>> ModelNet10(root="modelnet").classes[:4]
        ('bathtub', 'bed', 'chair', 'desk')
    """

    number = "10"
    classes = tuple(TEN.split())


def _download(root: Path, number: str) -> None:
    """Download the archive as torch_geometric's `ModelNet.download` does, without its pickled processing."""
    from torch_geometric.data import download_url, extract_zip
    from torch_geometric.datasets import ModelNet

    root.mkdir(parents=True, exist_ok=True)
    try:
        archive = download_url(ModelNet.urls[number], str(root))
        extract_zip(archive, str(root))
        Path(archive).unlink()
        (root / f"ModelNet{number}").rename(root / "raw")
    except Exception as error:
        found = f"a download that failed ({error})"
        raise DataError(str(root), found=found, expected=f"ModelNet{number}.zip") from error
