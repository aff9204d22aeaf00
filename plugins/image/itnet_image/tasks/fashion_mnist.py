"""Fashion-MNIST."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from pydantic import NonNegativeInt
from torch import Tensor

from itnet_core import DataError
from itnet_image.tasks.small_images import SmallImages
from itnet_tasks import Labelled


class FashionMNIST(SmallImages):
    """60,000 + 10,000 grey images of 28 × 28 pixels of clothes (Xiao et al., arXiv 1708.07747).

    Reads the four published IDX files, gzipped or not, from `root` itself (the layout of Debian's package
    dataset-fashion-mnist) or from `root/FashionMNIST/raw` (torchvision's).

    Example:
        >>> task = FashionMNIST(root="/usr/share/datasets/fashion-mnist")
        >>> task.encoder_options["image_size"], task.head["classes"], task.classes[9]
        (28, 10, 'Ankle boot')
    """

    class Config(SmallImages.Config):
        root: str
        """Folder of the data."""

        download: bool = False
        """Allow torchvision to download the files into `root` if they are missing."""

        shift: NonNegativeInt = 2
        """Largest random shift of a training image along each axis, in pixels; the border is black."""

    channels = 1
    image_size = 28
    normalization = ([0.2860], [0.3530])
    # fmt: off
    classes = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )
    # fmt: on

    def training(self) -> Labelled:
        """Return the 60,000 training images."""
        return self._part("train")

    def test(self) -> Labelled:
        """Return the 10,000 test images."""
        return self._part("t10k")

    def _part(self, part: str) -> Labelled:
        from torchvision.datasets.mnist import read_image_file, read_label_file  # a second of imports

        images, labels = self._file(f"{part}-images-idx3-ubyte"), self._file(f"{part}-labels-idx1-ubyte")
        pixels, numbers = _read(images, read_image_file), _read(labels, read_label_file)
        if pixels.shape[1:] != (self.image_size, self.image_size):
            raise DataError(str(images), found=f"images of {tuple(pixels.shape[1:])} pixels", expected="(28, 28)")
        return self.labelled(pixels, numbers, str(labels))

    def _file(self, name: str) -> Path:
        root = Path(self.config.root).expanduser()
        path = _plain_or_zipped(root / name)
        if path is None and self.config.download:  # complete files are not downloaded again
            _download(root)
        path = path or _plain_or_zipped(root / "FashionMNIST/raw" / name)
        if path is None:
            raise DataError(
                str(root / name),
                found="no such file, nor with .gz, nor in FashionMNIST/raw",
                expected="Fashion-MNIST's four IDX files",
                hint="Set root to where they are (Debian's dataset-fashion-mnist: /usr/share/datasets/fashion-mnist), "
                "or download: true.",
            )
        return path


def _plain_or_zipped(path: Path) -> Path | None:
    zipped = path.with_name(f"{path.name}.gz")
    return path if path.is_file() else zipped if zipped.is_file() else None


def _download(root: Path) -> None:
    from torchvision import datasets

    try:
        datasets.FashionMNIST(str(root), download=True)
    except Exception as error:
        found = f"a download that failed ({error})"
        raise DataError(str(root), found=found, expected="Fashion-MNIST's four IDX files") from error


def _read(path: Path, read: Callable[[str], Tensor]) -> Tensor:
    """Read the tensor of an IDX file, gzipped or not."""
    try:
        if path.suffix != ".gz":
            return read(str(path))
        with tempfile.TemporaryDirectory() as folder:  # torchvision's reader takes a path
            plain = Path(folder) / path.stem
            plain.write_bytes(gzip.decompress(path.read_bytes()))
            return read(str(plain))
    except (OSError, EOFError, zlib.error, ValueError, TypeError, AssertionError, RuntimeError, KeyError) as error:
        found = f"a damaged file ({str(error).partition(chr(10))[0] or type(error).__name__})"
        raise DataError(
            str(path), found=found, expected="a whole IDX file of unsigned bytes", hint="Fetch it again."
        ) from error
