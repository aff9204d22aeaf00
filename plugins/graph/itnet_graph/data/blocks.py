"""Random graphs of blocks, whose nodes have features of their block."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_graph.data.graph_file import both_ways
from itnet_graph.graphs import Graph


def block_graph(
    nodes: int,
    blocks: int,
    *,
    degree: float,
    homophily: float,
    features: int,
    signal: float,
    random: torch.Generator,
) -> tuple[Graph, Tensor]:
    """Return a graph of the contextual stochastic block model, and the block of each node, (n,).

    Two nodes have an edge with a probability that depends on whether they share their block. The features of a node are
    normal around a mean of its block (Deshpande et al., arXiv 1807.09596).

    Example:
        >>> options = {"degree": 8, "homophily": 0.9, "features": 4, "signal": 1.0}
        >>> graph, block = block_graph(200, 2, **options, random=torch.Generator().manual_seed(0))
        >>> source, target = graph.edge_index
        >>> bool((block[source] == block[target]).float().mean() > 0.8)
        True

    Args:
        nodes: number of nodes.
        blocks: number of blocks, of equal size.
        degree: expected number of neighbours of a node.
        homophily: expected share of neighbours of the same block.
        features: number of features.
        signal: distance of the blocks' means from 0, in standard deviations of the features.
        random: source of random numbers.
    """
    block = torch.arange(nodes)[torch.randperm(nodes, generator=random)] % blocks
    inside, outside = degree * homophily / (nodes / blocks), degree * (1 - homophily) / (nodes - nodes / blocks)
    chance = torch.where(block.unsqueeze(1) == block, inside, outside)
    edges = (torch.rand(nodes, nodes, generator=random) < chance).triu(1).nonzero().T
    means = F.normalize(torch.randn(blocks, features, generator=random), dim=1)
    x = signal * means[block] + torch.randn(nodes, features, generator=random)
    return both_ways(Graph(x, edges)), block
