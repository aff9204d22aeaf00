"""Base of tasks on graphs of files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveFloat

from itnet_core import DataError
from itnet_graph.data.files import read_rows
from itnet_graph.data.graph_file import GraphRow
from itnet_graph.graphs import Graph, Graphs
from itnet_graph.tasks.loader import SUFFIXES, load_graph, row_of
from itnet_tasks import LearnedTask

Finite = Annotated[float, ConfigField(allow_inf_nan=False)]


class GraphTask(LearnedTask):
    """Base of tasks on the graphs of files, whose features are standardised as those of the training graphs."""

    class Config(LearnedTask.Config):
        directed: bool = False
        """Whether edges lead from source to target alone, instead of both ways."""

        mean: tuple[Finite, ...] | None = None
        """Mean of each feature, which the encoder subtracts; by default that of the training graphs."""

        std: tuple[PositiveFloat, ...] | None = None
        """Standard deviation of each feature, which the encoder divides by; by default that of the training graphs."""

    modality = "graph"
    suffixes = SUFFIXES
    fields: Sequence[str] = ("mean", "std")

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """Number of features, their mean and standard deviation."""
        c = self.settings
        return {"features": len(c.mean), "mean": list(c.mean), "std": list(c.std)}

    def loader(self, *, training: bool) -> Callable[[GraphRow | Path], Graph]:
        """Return a function that checks a graph, or reads that of a user's file."""
        return partial(load_graph, features=len(self.settings.mean), directed=self.config.directed)

    def source_of(self, value: Any) -> GraphRow:
        """Return a user's graph in memory; see `row_of`.

        Raises:
            DataError: it is another value, or no graph.
        """
        return row_of(value, directed=self.config.directed)

    def parts(self, path: Path) -> Sequence[tuple[str, Any]]:
        """Return the graphs of a user's file by their lines; they need no label.

        Raises:
            DataError: the file cannot be read.
        """
        return [(row.place, row) for row in read_rows(path, directed=self.config.directed)]

    def collate_inputs(self, inputs: Sequence[Graph]) -> Graphs:
        """Collate graphs of any sizes."""
        return Graphs.of(inputs)

    @property
    @abstractmethod
    def file(self) -> str:
        """File of the training graphs."""

    @abstractmethod
    def training_rows(self) -> Sequence[GraphRow]:
        """Return the training graphs."""

    def learned(self) -> dict[str, Any]:
        """Return the fields that follow from the training graphs, without those that are configured.

        Raises:
            DataError: the file is missing, or has no sound graph.
        """
        rows = [row for row in self.training_rows() if row.fault is None]
        alike = [row for row in rows if row.graph.x.shape[1] == rows[0].graph.x.shape[1]]
        if not alike:
            raise DataError(self.file, found="no sound graph", expected="at least one")
        return {name: value for name, value in self.measured(alike).items() if getattr(self.config, name) is None}

    def measured(self, rows: Sequence[GraphRow]) -> dict[str, Any]:
        """Return the fields that follow from these rows, of equally many features."""
        x = torch.cat([row.graph.x for row in rows]).double()
        std = x.std(0, correction=0)
        return {"mean": tuple(x.mean(0).tolist()), "std": tuple(torch.where(std > 0, std, 1.0).tolist())}


def class_name(label: Any) -> str | None:
    """Return the name of a class: a text that is not empty, or a whole number; `None` for another label.

    Example:
        >>> class_name(3), class_name("a"), class_name(0.5)
        ('3', 'a', None)
    """
    if isinstance(label, bool) or not isinstance(label, str | int):
        return None
    return str(label) or None
