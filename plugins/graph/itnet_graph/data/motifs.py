"""Random trees with a motif."""

from __future__ import annotations

import torch

from itnet_graph.data.graph_file import both_ways
from itnet_graph.graphs import Graph

MOTIFS = {
    "cycle of 5": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)],
    "cycle of 6": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)],
    "house": [(0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (1, 4)],
}
"""Edges of the motifs by name."""


def motif_graph(motif: str, nodes: int, random: torch.Generator) -> Graph:
    """Return a random tree with a motif joined to it by an edge, in random order; the only feature is 1.

    The tree grows by preferential attachment, as in the graphs of Ying et al., arXiv 1903.03894, §5.

    Example:
        >>> graph = motif_graph("house", 20, torch.Generator().manual_seed(0))
        >>> graph.x.shape, graph.edge_index.shape[1]  # each of the 14 + 1 + 6 edges in both directions
        (torch.Size([20, 1]), 42)

    Args:
        motif: a key of `MOTIFS`.
        nodes: number of nodes of the tree with the motif.
        random: source of random numbers.
    """
    edges = [*MOTIFS[motif]]
    first = max(max(edge) for edge in edges) + 1
    motif_end = int(torch.randint(first, (), generator=random))
    ends = [first]
    for node in range(first + 1, nodes):
        other = ends[int(torch.randint(len(ends), (), generator=random))]
        edges.append((other, node))
        ends += [other, node]
    edges.append((motif_end, int(torch.randint(first, nodes, (), generator=random))))
    order = torch.randperm(nodes, generator=random)
    return both_ways(Graph(torch.ones(nodes, 1), order[torch.tensor(edges).T]))
