"""Fashion-MNIST."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import ClassVar

from torch import Tensor
from torchvision import datasets
from torchvision.datasets.mnist import read_image_file, read_label_file

from itnet_core import DataError
from itnet_image.classification import ImageClassification, Labelled, existing, labelled_arrays


class FashionMNIST(ImageClassification):
    """60,000 + 10,000 grey pictures of 28 × 28 pixels of clothes (Xiao et al., arXiv 1708.07747).

    Reads the four published IDX files, gzipped or not, from `root` itself (as Debian's package dataset-fashion-mnist
    lays them out) or from `root/FashionMNIST/raw` (as torchvision does).
    """

    class Config(ImageClassification.Config):
        """Configuration.

        Attributes:
            root: the folder.
            download: whether torchvision may download the files into `root` if they are not there.
        """

        root: str
        download: bool = False

    channels = 1
    image_size = 28
    normalization = ([0.2860], [0.3530])
    shift: ClassVar[int] = 2

    @property
    def classes(self) -> list[str]:
        """The ten kinds of clothes."""
        return list(datasets.FashionMNIST.classes)

    def training(self) -> Labelled:
        """Return the 60,000 training pictures."""
        return self._labelled("train")

    def test(self) -> Labelled:
        """Return the 10,000 test pictures."""
        return self._labelled("t10k")

    def _labelled(self, part: str) -> Labelled:
        root = Path(self.config.root).expanduser()
        if self.config.download:
            datasets.FashionMNIST(str(root), download=True)
        raw = root / "FashionMNIST" / "raw"
        folder = raw if raw.is_dir() else existing(root, "a folder with Fashion-MNIST's IDX files")
        images = _read(folder / f"{part}-images-idx3-ubyte", read_image_file)
        labels = _read(folder / f"{part}-labels-idx1-ubyte", read_label_file)
        if len(images) != len(labels) or labels.max() >= len(self.classes):
            raise DataError(
                str(folder),
                found=f"{len(images)} pictures and {len(labels)} labels, the largest {int(labels.max())}",
                expected="as many labels as pictures, below 10",
            )
        return labelled_arrays(images, labels)


def _read(path: Path, read: object) -> Tensor:
    """Return an IDX file's tensor, from the file itself or from its gzip."""
    zipped = path.with_name(path.name + ".gz")
    expected = "a whole IDX file of unsigned bytes, gzipped or not"
    if not path.exists() and not zipped.exists():
        raise DataError(str(path), found="no such file, nor with .gz", expected=expected)
    try:
        if path.exists():
            return read(str(path))  # type: ignore[operator]
        with tempfile.NamedTemporaryFile() as plain:  # torchvision's reader takes a path
            plain.write(gzip.decompress(zipped.read_bytes()))
            plain.flush()
            return read(plain.name)  # type: ignore[operator]
    except (OSError, EOFError, ValueError, TypeError, AssertionError, RuntimeError, KeyError) as error:
        found = f"a damaged file ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        raise DataError(str(path), found=found, expected=expected, mend="Fetch it again.") from None
