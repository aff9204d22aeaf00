"""A run that is read from its directory, for lists and comparisons. Imports neither torch nor Lightning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from itnet_registry import load_config
from itnet_train.errors import RunError
from itnet_train.storage.directory import RunDirectory
from itnet_train.storage.history_rows import Row, best_row, read_rows
from itnet_train.storage.lock import is_held

State = Literal["finished", "running", "interrupted"]

DEPTH = 4
"""Depth to which a folder is searched for runs."""


@dataclass(frozen=True)
class RunRecord:
    """A run as its directory describes it.

    Attributes:
        path: the run directory.
        config: the complete configuration.
        about: the preset, the monitored metric and its mode, and the date of the start.
        metrics: the content of `metrics.json`; empty unless the run has ended.
        rows: a row per epoch.
        running: whether a process trains it now.
    """

    path: Path
    config: Mapping[str, Any]
    about: Mapping[str, Any]
    metrics: Mapping[str, Any]
    rows: tuple[Row, ...]
    running: bool

    @classmethod
    def read(cls, path: Path) -> RunRecord:
        """Read a run.

        Raises:
            RunError: the directory holds no run, or one of its files is damaged.
            ConfigError: its configuration is damaged.
        """
        directory = RunDirectory(path)
        if not directory.config.is_file() or not directory.is_run:
            hint = "Name the directories that `itnet train` wrote, such as runs/*."
            raise RunError(str(path), found="no run", expected="the directory of a run", hint=hint)
        try:
            about, metrics = (
                json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
                for file in (directory.about, directory.metrics)
            )
            rows = tuple(read_rows(directory.history))
        except ValueError as error:
            raise RunError(str(path), found=f"a damaged file ({error})", expected="the files of a run") from None
        return cls(path, load_config(directory.config), about, metrics, rows, is_held(directory.lock))

    @property
    def state(self) -> State:
        """Whether the run has ended, is training, or was interrupted; one that reached `max_minutes` was."""
        if self.running:
            return "running"
        return "finished" if self.metrics and self.metrics["stopped"] != "max_minutes" else "interrupted"

    @property
    def monitor(self) -> str:
        """Name of the score that decides which epoch is best; the loss for runs of an older version."""
        return str(self.about.get("monitor", "loss"))

    @cached_property
    def best(self) -> Row:
        """The row of the best epoch; empty before the first."""
        epoch = self.metrics.get("best_epoch")
        if epoch is not None:
            return next((row for row in self.rows if row["epoch"] == epoch), {})
        return best_row(self.rows, self.monitor, self.about.get("mode", "min")) or {}

    @property
    def epochs(self) -> int:
        """Number of epochs that are done."""
        return int(self.rows[-1]["epoch"]) if self.rows else 0

    @property
    def seconds(self) -> float:
        """Seconds of training."""
        return self.rows[-1]["seconds"] if self.rows else 0.0

    @property
    def task(self) -> str:
        """Names of the tasks."""
        tasks = self.config.get("model", {}).get("tasks", {})
        names = [task["name"] for task in tasks.values()] or [self.config.get("data", {}).get("class", "")]
        return ", ".join(names)

    def scores(self) -> dict[str, float]:
        """Return the scores of the best epoch by split and name, `test accuracy`; the test's once the run has ended."""
        validation = {k.replace("_", " ", 1): v for k, v in self.best.items() if k.startswith("validation_")}
        return {f"test {name}": value for name, value in self.metrics.get("test", {}).items()} | validation

    def summary(self) -> dict[str, Any]:
        """Return a line of `itnet list runs`, JSON-native: the path, the state, the task, the best validation score."""
        return {
            "path": self.path.as_posix(),
            "state": self.state,
            "task": self.task,
            "preset": self.about.get("preset", ""),
            "monitor": self.monitor,
            "best": self.best.get(f"validation_{self.monitor}"),
            "epochs": self.epochs,
            "of": self.config.get("train", {}).get("epochs"),
            "started": self.about.get("started"),
        }


def find_runs(path: Path) -> Iterator[RunRecord]:
    """Yield the run in a directory, or those in the folders below it, in the order of their names."""
    yield from _find(path, DEPTH)


def _find(path: Path, depth: int) -> Iterator[RunRecord]:
    if RunDirectory(path).is_run:
        if RunDirectory(path).config.is_file():  # otherwise it was killed before it wrote anything
            yield RunRecord.read(path)
    elif depth and path.is_dir():
        for folder in sorted(path.iterdir(), key=_natural):
            yield from _find(folder, depth - 1)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Return a key that sorts numbers in names by their size."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path.name)]
