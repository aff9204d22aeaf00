"""CIFAR-10."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from itnet_core import DataError
from itnet_image.classification import ImageClassification, Labelled, existing, labelled_arrays

RECORD = 1 + 3 * 32 * 32


class CIFAR10(ImageClassification):
    """50,000 + 10,000 colour pictures of 32 × 32 pixels (Krizhevsky, 2009).

    Reads the published binary version, the folder `cifar-10-batches-bin` in `root` (or `root` itself). The Python
    version, which torchvision reads, is pickled, and a data file must never run code.
    """

    class Config(ImageClassification.Config):
        """Attributes: root: the folder."""

        root: str

    image_size = 32
    normalization = ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])
    shift: ClassVar[int] = 4

    @property
    def classes(self) -> list[str]:
        """The ten classes."""
        return ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

    def training(self) -> Labelled:
        """Return the pictures of the five training batches."""
        return self._labelled([f"data_batch_{i}.bin" for i in range(1, 6)])

    def test(self) -> Labelled:
        """Return the pictures of the test batch."""
        return self._labelled(["test_batch.bin"])

    def _labelled(self, names: list[str]) -> Labelled:
        root = Path(self.config.root).expanduser()
        folder = root / "cifar-10-batches-bin"
        mend = "Unpack cifar-10-binary.tar.gz there."
        folder = folder if folder.is_dir() else existing(root, "a folder with CIFAR-10's binary version", mend)
        records = torch.cat([_records(folder / name) for name in names])
        pixels = records[:, 1:].view(-1, 3, 32, 32).permute(0, 2, 3, 1)
        return labelled_arrays(pixels.contiguous(), records[:, 0])


def _records(path: Path) -> Tensor:
    """Return a batch file's records, uint8 of shape (N, 3073): a label, then the three planes of a picture."""
    expected = f"records of {RECORD} bytes, each beginning with a label below 10"
    if not path.is_file():
        mend = "Use the binary version (cifar-10-binary.tar.gz), not the Python one."
        raise DataError(str(path), found="no such file", expected=expected, mend=mend)
    data = torch.frombuffer(bytearray(path.read_bytes()) or bytearray(1), dtype=torch.uint8)
    if len(data) % RECORD:
        raise DataError(str(path), found=f"{len(data)} bytes", expected=expected, mend="Fetch it again.")
    records = data.view(-1, RECORD)
    if records[:, 0].max() > 9:
        raise DataError(str(path), found=f"the label {int(records[:, 0].max())}", expected=expected)
    return records
