"""Read graphs from JSON lines, which run no code."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch

from itnet_core import DataError
from itnet_graph.graphs import Graph
from itnet_tasks import decode_text, read_data

EXPECTED = 'a graph per line: {"nodes": [[0.5, 1], [2, 0]], "edges": [[0, 1]], "label": "a"}'
_LARGEST = float(torch.finfo(torch.float32).max)


class GraphRow(NamedTuple):
    """A graph, or why a line has none.

    Attributes:
        graph: features in float32; of one node if the row has a fault.
        place: the file and the line.
        label: as the file has it; `None` without one.
        group: name of the graph's group; `None` without one.
        split: split of the graph or of each node, as the file has it; `None` without one.
        fault: what was found, and what was expected; `None` for a sound row.
    """

    graph: Graph
    place: str
    label: Any = None
    group: str | None = None
    split: Any = None
    fault: tuple[str, str] | None = None

    def checked(self) -> Graph:
        """Return the graph.

        Raises:
            DataError: the row has a fault.
        """
        if self.fault is not None:
            raise DataError(self.place, found=self.fault[0], expected=self.fault[1])
        return self.graph


def read_graphs(
    path: Path, *, directed: bool, label: str = "label", group_by: str | None = None, split: str = "split"
) -> list[GraphRow]:
    """Read a file of JSON lines, one graph a line.

    `nodes` lists the features of each node, or is the number of nodes, whose only feature is then 1. `edges` lists
    source and target of each edge by their numbers from 0, and optionally its weight.

    Example:
        >>> line = '{"nodes": [[0.5, 1], [2, 0]], "edges": [[0, 1, 0.3]], "label": "a"}'
        >>> _ = Path("graphs.jsonl").write_text(line)
        >>> [row] = read_graphs(Path("graphs.jsonl"), directed=False)
        >>> row.checked().edge_index, row.label
        (tensor([[0, 1],
                [1, 0]]), 'a')

    Args:
        path: the file.
        directed: whether edges lead from source to target alone, instead of both ways.
        label: key of the label.
        group_by: key of the group.
        split: key of the split.

    Raises:
        DataError: the file is missing, not in UTF-8, or has no line.
    """
    text = decode_text(read_data(path, EXPECTED), path)
    numbered = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not numbered:
        raise DataError(str(path), found="no line", expected=EXPECTED)
    rows = []
    for number, line in numbered:
        place = f"{path}, line {number}"
        try:
            record = json.loads(line, parse_constant=_refuse)
            if not isinstance(record, dict):
                raise ValueError(type(record).__name__, EXPECTED)
            group = None if group_by is None else record.get(group_by)
            group = None if group is None else str(group)
            row = GraphRow(graph_of(record, directed), place, record.get(label), group, record.get(split))
        except (ValueError, RecursionError) as error:
            found, expected = error.args if len(error.args) == 2 else (str(error), EXPECTED)
            row = GraphRow(
                Graph(torch.zeros(1, 1), torch.zeros(2, 0, dtype=torch.int64)), place, fault=(found, expected)
            )
        rows.append(row)
    return rows


def _refuse(constant: str) -> float:
    raise ValueError(constant, "finite numbers")


def graph_of(record: dict[str, Any], directed: bool) -> Graph:
    """Return the graph of a record.

    Raises:
        ValueError: with what was found, and what was expected.
    """
    nodes, edges = record.get("nodes"), record.get("edges")
    if isinstance(nodes, int) and not isinstance(nodes, bool) and 0 < nodes <= 10**7:
        nodes = [[1.0]] * nodes
    rows = isinstance(nodes, list) and len(nodes) > 0 and all(isinstance(node, list) and node for node in nodes)
    if not rows or len({len(node) for node in nodes}) > 1:  # type: ignore[union-attr]
        raise ValueError(f'"nodes": {nodes!r:.60}', "a number of nodes, or a list of as many features for each node")
    assert isinstance(nodes, list)
    for number, node in enumerate(nodes):
        if not all(map(_finite, node)):
            raise ValueError(f"features {node!r:.60} of node {number}", "finite numbers")
    if not isinstance(edges, list):
        raise ValueError(f'"edges": {edges!r:.60}', "a list of [source, target] or [source, target, weight]")
    for edge in edges:
        if not (isinstance(edge, list) and len(edge) in (2, 3) and all(map(_finite, edge))):
            raise ValueError(f"the edge {edge!r:.60}", "[source, target], or [source, target, weight]")
        if not all(isinstance(end, int) and 0 <= end < len(nodes) for end in edge[:2]):
            raise ValueError(f"the edge {edge!r:.60}", f"numbers of nodes from 0 to {len(nodes) - 1}")
        if len(edge) == 3 and edge[2] < 0:
            raise ValueError(f"the edge {edge!r:.60}", "a weight of at least 0")
    edge_index = torch.tensor([edge[:2] for edge in edges], dtype=torch.int64).view(-1, 2).T
    weights = torch.tensor([float(edge[2]) if len(edge) == 3 else 1.0 for edge in edges])
    graph = Graph(torch.tensor(nodes, dtype=torch.float32), edge_index, weights)
    return graph if directed else both_ways(graph)


def both_ways(graph: Graph) -> Graph:
    """Return the graph with each edge in both directions; self loops stay single.

    Example:
        >>> both_ways(Graph(torch.ones(2, 1), torch.tensor([[0, 1], [1, 1]]))).edge_index
        tensor([[0, 1, 1],
                [1, 1, 0]])
    """
    assert graph.edge_index.shape[0] == 2
    edge_weight = graph.with_weights().edge_weight
    assert edge_weight is not None
    between = graph.edge_index[0] != graph.edge_index[1]
    edge_index = torch.cat([graph.edge_index, graph.edge_index[:, between].flip(0)], 1)
    return Graph(graph.x, edge_index, torch.cat([edge_weight, edge_weight[between]]))


def _finite(number: Any) -> bool:
    """Whether a value is a number within the range of float32, in which models compute."""
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    return is_number and math.isfinite(number) and abs(number) <= _LARGEST
