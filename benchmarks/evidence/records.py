"""Results of runs, one line of JSON each."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from itnet_core import write_atomically

Key = tuple[str, str, float, int, int]


@dataclass(frozen=True)
class Record:
    """The result of one run.

    Attributes:
        model: the network's name.
        recipe: key of everything else that the result depends on.
        rate: peak learning rate.
        seed: of the weights and of the training.
        fold: number of the part of a cross-validation.
        parameters: real numbers that are trained.
        validation: metrics of the best epoch.
        curve: the monitored metric on the validation split after each epoch.
        test: metrics of the test split.
        conditions: the contest's metric under its other conditions.
        scores: the metric of each test sample; see `packed`.
        seconds: of the training, on one thread of a shared machine or on a shared GPU.
        commit: of the repository.
        device: that the network was trained on.
    """

    model: str
    recipe: str
    rate: float
    seed: int
    fold: int
    parameters: int
    validation: dict[str, float]
    curve: list[float]
    test: dict[str, float]
    conditions: dict[str, float]
    scores: dict[str, Any]
    seconds: float
    commit: str
    device: str = "CPU"

    @property
    def key(self) -> Key:
        """What tells the run from others."""
        return self.model, self.recipe, self.rate, self.seed, self.fold


def packed(scores: np.ndarray) -> dict[str, Any]:
    """Return scores as JSON: bits in hexadecimal if all are 0 or 1, else numbers of six digits.

    Example:
        >>> packed(np.array([1.0, 0.0, 1.0]))
        {'count': 3, 'bits': 'a0'}
    """
    if np.isin(scores, (0.0, 1.0)).all():
        return {"count": len(scores), "bits": np.packbits(scores.astype(bool)).tobytes().hex()}
    return {"count": len(scores), "values": [float(f"{score:.6g}") for score in scores]}


def unpacked(scores: dict[str, Any]) -> np.ndarray:
    """Return the scores of `packed`.

    Example:
        >>> unpacked({"count": 3, "bits": "a0"})
        array([1., 0., 1.])
    """
    if "values" in scores:
        return np.array(scores["values"])
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(scores["bits"]), dtype=np.uint8), count=scores["count"])
    return bits.astype(np.float64)


def read(path: Path) -> dict[Key, Record]:
    """Return the records of a file by their keys; the last of equal keys counts."""
    return {record.key: record for record in _lines(path)}


def _lines(path: Path) -> Iterator[Record]:
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield Record(**json.loads(line))


def append(path: Path, record: Record) -> None:
    """Add a record to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(record)) + "\n")


def keep(path: Path, recipes: Collection[str]) -> None:
    """Remove the records of recipes that are no longer in use from a file."""
    if path.is_file():
        kept = [record for record in read(path).values() if record.recipe in recipes]
        write_atomically(path, "".join(json.dumps(asdict(record)) + "\n" for record in kept))
