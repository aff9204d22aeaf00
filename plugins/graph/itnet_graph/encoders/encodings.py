"""Encodings of a node's place in its graph."""

from __future__ import annotations

import torch
from torch import Tensor

from itnet_core import exact_dtype


@torch.no_grad()
def return_probabilities(adjacency: Tensor, steps: int) -> Tensor:
    """Return the probability that a random walk from a node is at that node after 1, 2, …, `steps` steps.

    Dwivedi et al., arXiv 2110.07875, eq. 4. From a node without edges the walk does not return.

    Example:
        >>> triangle = 1 - torch.eye(3)
        >>> return_probabilities(triangle.unsqueeze(0), 3)[0, 0]
        tensor([0.0000, 0.5000, 0.2500])

    Args:
        adjacency: entry (i, j) is the weight of the edge from node j to node i, (B, N, N).
        steps: number of steps.

    Returns:
        Shape (B, N, steps), in the dtype of the adjacency.
    """
    leaving = adjacency.sum(1, keepdim=True)
    walk = adjacency / torch.where(leaving > 0, leaving, 1.0)
    power, probabilities = walk, []
    for _ in range(steps):
        probabilities.append(power.diagonal(dim1=1, dim2=2))
        power = power @ walk
    return torch.stack(probabilities, -1)


@torch.no_grad()
def laplacian_eigenvectors(adjacency: Tensor, sizes: Tensor, count: int) -> Tensor:
    """Return eigenvectors of the Laplacian I − D^(−1/2) A D^(−1/2) with the smallest eigenvalues, without the first.

    Dwivedi et al., arXiv 2003.00982, §E. A is the mean of both directions. A vector of n nodes has the length √n, so
    that its entries do not shrink as graphs grow, and 0 in place of vectors that a small graph lacks. The sign is such
    that the entry of the largest absolute value is positive; vectors of equal eigenvalues are an arbitrary basis.

    Example:
        >>> path = torch.tensor([[[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])
        >>> laplacian_eigenvectors(path, torch.tensor([3]), 1).squeeze().abs().round(decimals=4)
        tensor([1.2247, 0.0000, 1.2247])

    Args:
        adjacency: entry (i, j) is the weight of the edge from node j to node i, (B, N, N).
        sizes: number of nodes of each graph, (B,).
        count: number of vectors.

    Returns:
        Shape (B, N, count), in the dtype of the adjacency.
    """
    result = adjacency.new_zeros(*adjacency.shape[:2], count)
    precise = adjacency.to(exact_dtype(adjacency.device))
    for number, size in enumerate(sizes.tolist()):  # padding would change the basis of equal eigenvalues
        a = precise[number, :size, :size]
        a = (a + a.T) / 2
        degree = a.sum(0)
        scale = torch.where(degree > 0, torch.where(degree > 0, degree, 1.0).rsqrt(), 0.0)
        identity = torch.eye(size, dtype=a.dtype, device=a.device)
        vectors = torch.linalg.eigh(identity - scale.unsqueeze(1) * a * scale).eigenvectors[:, 1 : count + 1]
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        result[number, :size, : vectors.shape[1]] = (vectors * largest.sign() * size**0.5).to(result)
    return result
