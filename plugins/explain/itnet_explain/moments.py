"""Unbiased estimates of the parts of E[k²] from products of values of a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import torch
from torch import Tensor

TINY = torch.finfo(torch.float64).tiny


@dataclass(frozen=True)
class CrossedMoments:
    """Means of products k k', by the factors that k and k' share.

    E[k k'] is μ² plus the components of all factors that they share: the sample, the pair of positions p, and the
    contents i of the query and j of the key within a sample.

    Attributes:
        same_pair: of values of different samples at the same pair of positions, (heads, S, S).
        other_pair: of different samples at different pairs, (heads, S, S).
        within: of the same sample, by the other factors that are shared, such as "ij", (heads, S).
    """

    same_pair: Tensor
    other_pair: Tensor
    within: Mapping[str, Tensor]

    @property
    def samples(self) -> int:
        """The number of samples, S."""
        return self.same_pair.shape[1]

    def estimate(self, counts: Tensor) -> Tensor:
        """Return the shares, (n, heads, 6), for the number of times that each sample counts, (n, S)."""
        pairs = counts.unsqueeze(2) * counts.unsqueeze(1)
        pairs = pairs - torch.diag_embed(pairs.diagonal(dim1=1, dim2=2))
        weight = pairs.sum((1, 2))

        def across(products: Tensor) -> Tensor:
            return torch.einsum("nst,hst->nh", pairs, products) / weight.unsqueeze(1)

        def within(shared: str) -> Tensor:
            return counts @ self.within[shared].T / counts.sum(1, keepdim=True)

        constant, position = across(self.other_pair), across(self.same_pair)
        sample, query, key, content = (within(shared) for shared in ("", "i", "j", "ij"))
        everything = within("ijp")
        parts = [
            constant,
            position - constant,
            query - sample,
            key - sample,
            content - query - key + 2 * sample - constant,  # both, and what a sample's contents have in common
            everything - content - position + constant,
        ]
        return torch.stack(parts, -1) / everything.clamp(min=TINY).unsqueeze(-1)


def shared_by_draws(k: Tensor) -> CrossedMoments:
    """Return the moments of values (heads, S, P, I, J) at drawn pairs of positions and drawn contents.

    Products of values that share a factor only by being the same value are left out, which makes the means unbiased.
    """
    _, _, pairs, queries, keys = k.shape
    means = k.mean((3, 4))  # (heads, S, P)
    products = means @ means.mT
    total = means.sum(2).unsqueeze(2) * means.sum(2).unsqueeze(1)
    axes, sizes = {"p": 2, "i": 3, "j": 4}, {"p": pairs, "i": queries, "j": keys}
    subsets = [frozenset(s) for s in chain.from_iterable(combinations(axes, n) for n in range(4))]
    squares = {}
    for shared in subsets:
        rest = [axis for name, axis in axes.items() if name not in shared]
        summed = k.sum(rest, keepdim=True) if rest else k
        squares[shared] = summed.square().sum((2, 3, 4))  # (heads, S)
    within = {}
    for shared in subsets:
        exact = sum((-1) ** (len(more) - len(shared)) * squares[more] for more in subsets if more >= shared)
        count = 1
        for name, size in sizes.items():
            count *= size if name in shared else size * (size - 1)
        within["".join(sorted(shared))] = exact / count
    return CrossedMoments(products / pairs, (total - products) / (pairs * (pairs - 1)), within)


def shared_by_contents(k: Sequence[Tensor], weights: Sequence[Sequence[Tensor]]) -> CrossedMoments:
    """Return the moments of a kernel of contents alone, from its values at all contents of each sample.

    Args:
        k: of each sample, (heads, N, M).
        weights: of the points of either side of each sample, which sum to 1, (N,) and (M,).
    """
    rows = []
    for values, (of_query, of_key) in zip(k, weights, strict=True):
        values = values.double()
        of_i, of_j = values @ of_key, of_query @ values
        square = of_query @ values.square() @ of_key
        mean = of_i @ of_query
        rows.append(torch.stack([mean, of_i.square() @ of_query, of_j.square() @ of_key, square]))
    mean, of_i, of_j, square = torch.stack(rows, -1).cpu()  # (heads, S) each
    products = mean.unsqueeze(2) * mean.unsqueeze(1)
    return CrossedMoments(products, products, {"": mean.square(), "i": of_i, "j": of_j, "ij": square, "ijp": square})
