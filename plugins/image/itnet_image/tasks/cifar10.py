"""CIFAR-10."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import NonNegativeInt

from itnet_core import DataError
from itnet_image.tasks.small_images import SmallImages
from itnet_tasks import Labelled, read_data

FOLDER = "cifar-10-batches-bin"
ARCHIVE = "cifar-10-binary.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
RECORD = 1 + 3 * 32 * 32


class CIFAR10(SmallImages):
    """50,000 + 10,000 colour images of 32 × 32 pixels (Krizhevsky, 2009).

    Reads the published binary version: the folder `cifar-10-batches-bin` in `root`, or `root` itself, or the archive
    `cifar-10-binary.tar.gz` in `root`. The Python version, which torchvision reads, is pickled, and a data file must
    never run code.

    Example:
        >>> black_cat = bytes([3]) + bytes(3 * 32 * 32)
        >>> _ = Path("test_batch.bin").write_bytes(black_cat)
        >>> task = CIFAR10(root=".")
        >>> image, label = task.dataset("test")[0]
        >>> image.shape, task.classes[label]
        (torch.Size([3, 32, 32]), 'cat')
    """

    class Config(SmallImages.Config):
        root: str
        """Folder of the data."""

        download: bool = False
        """Allow downloading the archive into `root` if the data are missing."""

        shift: NonNegativeInt = 4
        """Largest random shift of a training image along each axis, in pixels; the border is black."""

    image_size = 32
    normalization = ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def training(self) -> Labelled:
        """Return the images of the five training batches."""
        return self._batches([f"data_batch_{i}.bin" for i in range(1, 6)])

    def test(self) -> Labelled:
        """Return the images of the test batch."""
        return self._batches(["test_batch.bin"])

    def _batches(self, names: Sequence[str]) -> Labelled:
        root = Path(self.config.root).expanduser()
        folders = [folder for folder in (root, root / FOLDER) if (folder / names[0]).is_file()]
        archive = root / ARCHIVE
        if not folders and self.config.download:  # a complete archive is not downloaded again
            _download(root)
        if not folders and not archive.is_file():
            raise DataError(
                str(root / FOLDER / names[0]),
                found="no such file, nor an archive",
                expected=f"the folder {FOLDER} or the archive {ARCHIVE} in root",
                hint="Use the binary version, not the Python one (it is pickled), or set download: true.",
            )
        source, batches = (folders[0], _from_folder(folders[0], names)) if folders else (archive, _from(archive, names))
        if len(set(map(len, batches))) > 1:
            sizes = ", ".join(f"{name} {len(data)}" for name, data in zip(names, batches, strict=True))
            raise DataError(
                str(source), found=f"batches of {sizes} bytes", expected="equal sizes", hint="Fetch them again."
            )
        records = np.concatenate(
            [_records(f"{source}/{name}", data) for name, data in zip(names, batches, strict=True)]
        )
        pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return self.labelled(np.ascontiguousarray(pixels), records[:, 0], str(source))


def _download(root: Path) -> None:
    from torchvision.datasets.utils import download_url

    root.mkdir(parents=True, exist_ok=True)
    try:
        download_url(URL, str(root), ARCHIVE, MD5)
    except Exception as error:
        raise DataError(str(root), found=f"a download that failed ({error})", expected=ARCHIVE) from error


def _from_folder(folder: Path, names: Sequence[str]) -> list[bytes]:
    return [read_data(folder / name, "a batch next to the others") for name in names]


def _from(archive: Path, names: Sequence[str]) -> list[bytes]:
    """Read files of the archive in one pass, without unpacking them to disk."""
    contents = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None and Path(member.name).name in names:
                    contents[Path(member.name).name] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(
            str(archive),
            found=f"a damaged archive ({error})",
            expected=f"a whole {ARCHIVE}",
            hint=f"Fetch it again; its MD5 is {MD5}.",
        ) from error
    missing = set(names) - set(contents)
    if missing:
        raise DataError(str(archive), found=f"no {', '.join(sorted(missing))} in it", expected="the binary version")
    return [contents[name] for name in names]


def _records(place: str, data: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Return the records of a batch, shape (N, 3073): a label, then the three planes of an image."""
    if not data or len(data) % RECORD:
        raise DataError(
            place, found=f"{len(data)} bytes", expected=f"whole records of {RECORD} bytes", hint="Fetch it again."
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, RECORD)
