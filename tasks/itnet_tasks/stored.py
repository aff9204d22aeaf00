"""Sources of samples in large files, which are read on access."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from itnet_tasks.cache_folder import file_facts


class Content(NamedTuple):
    """The content of a file that is stored inside a larger one.

    Attributes:
        data: the bytes of the file.
        place: where they are, for errors.
    """

    data: bytes
    place: str


@dataclass(frozen=True, eq=False)
class Stored(Sequence[Any]):
    """The sources of samples in large files. Each access reads one from its file.

    Attributes:
        positions: where each is, int64 of shape (N, k). The first column numbers the chunks of the files, whose samples
            are read fast one after another.
        read: returns the source at one of the positions.
        files: the files and folders.
    """

    positions: Tensor
    read: Callable[[list[int]], Any]
    files: Sequence[Path]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, number: Any) -> Any:
        return self.read(self.positions[number].tolist())

    def select(self, numbers: Tensor) -> Stored:
        """Return the sources at some numbers, without reading them."""
        return Stored(self.positions[numbers], self.read, self.files)

    def chunks(self) -> list[int]:
        """Return the numbers of samples in consecutive chunks."""
        counts: list[int] = torch.unique_consecutive(self.positions[:, 0], return_counts=True)[1].tolist()
        return counts

    def version(self) -> list[Any]:
        """Return what changes with the content of the files, and which samples these are."""
        parts = [part for file in self.files for part in (sorted(file.iterdir()) if file.is_dir() else [file])]
        return [*map(file_facts, parts), self.positions.tolist()]
