"""Shares of a kernel's variance: position, content and their interaction."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, combinations

import torch
from torch import Tensor

from itnet_core import Field, Kernel, ShapeError
from itnet_core.operator.evaluators.dense import weigh_edge
from itnet_explain.recording import Call

PARTS = ("constant", "position", "query", "key", "both", "interaction")
"""The parts of E[k²]: the squared mean; positions alone; contents alone, of the query, of the key and of both; and all
that needs positions and contents together."""

GROUPS, NORMAL = 16, 1.96
"""Groups of pairs of positions for the jackknife, and half the width of an interval of 95% in standard errors."""


@dataclass(frozen=True)
class Shares:
    """The share of each part in E[k²], for each head.

    Example:
        >>> from itnet_explain import Call
        >>> field = Field(torch.randn(4, 9, 8), torch.rand(4, 9, 4))
        >>> shares(Call("operator", MLPKernel(8), field, field)).values.shape
        torch.Size([4, 6])

    Attributes:
        values: of `PARTS`, (heads, 6); they sum to 1. An estimate near 0 may be negative.
        low: lower ends of the intervals of 95%, by the jackknife over samples and over pairs of positions, (heads, 6).
        high: upper ends.
    """

    values: Tensor
    low: Tensor
    high: Tensor


@torch.no_grad()
def shares(call: Call, *, pairs: int = 256, contents: int = 8, seed: int = 0) -> Shares:
    """Estimate how much of a kernel's second moment is due to position, to content and to their interaction.

    Pairs of positions p = (x, y), drawn from the support, are combined with all contents u(x) and v(y) drawn from
    points of the same sample, whatever their own positions: the product measure. The components of this nested design
    (samples, then queries × keys within a sample, all crossed with pairs of positions) are estimated without bias by
    products of values that share exactly some of the factors (Searle, Casella & McCulloch, "Variance Components",
    1992). Of a `softmax` kernel, k is the logit.

    Contents may tell the places that they come from, such as by a position encoding added to the values; their part
    then counts as content.

    Example:
        >>> from itnet_explain import Call
        >>> field = Field(torch.randn(4, 9, 8), torch.rand(4, 9, 4))
        >>> kernel = MLPKernel(8, inputs=("displacement",))
        >>> found = shares(Call("operator", kernel, field, field))
        >>> bool(found.values[:, PARTS.index("interaction")].abs().max() < 1e-6)
        True

    Args:
        call: a call of the operator, with at least two samples.
        pairs: pairs of positions.
        contents: contents of either side, for each sample.
        seed: of the random choices.

    Raises:
        ShapeError: there is one sample only.
    """
    batch = len(call.query.values)
    if batch < 2:
        raise ShapeError("explain", found="one sample", expected="at least two, to tell content from position")
    generator = torch.Generator().manual_seed(seed)
    positions = call.draw_pairs(pairs, generator)
    query, key = (draw_contents(side, contents, generator) for side in (call.query, call.key))
    k = torch.stack([crossed(call.kernel, query[s], key[s], positions) for s in range(batch)])  # (S, P, heads, I, J)
    k = k.permute(2, 0, 1, 3, 4).double()
    moments, everything = _Moments(k), torch.ones(1, batch, dtype=torch.float64)
    values = moments.estimate(everything)[0]
    without_a_sample = moments.estimate(1 - torch.eye(batch, dtype=torch.float64)) if batch > 2 else values[None]
    groups = torch.arange(pairs) * GROUPS // pairs
    without_a_group = [_Moments(k[:, :, groups != group]).estimate(everything)[0] for group in range(GROUPS)]
    error = (_jackknife(without_a_sample) + _jackknife(torch.stack(without_a_group))).sqrt()
    return Shares(values, values - NORMAL * error, values + NORMAL * error)


def _jackknife(estimates: Tensor) -> Tensor:
    """Return the variance of an estimate, given those that leave out one part each, (parts, …)."""
    count = len(estimates)
    return (estimates - estimates.mean(0)).square().sum(0) * (count - 1) / count


def draw_contents(field: Field, count: int, generator: torch.Generator) -> Tensor:
    """Draw values of each sample's points by their weights, (B, count, d); different points if there are enough."""
    weights = field.weights.cpu().float()
    again = int((weights > 0).sum(1).min()) < count
    chosen = torch.multinomial(weights, count, replacement=again, generator=generator)
    index = chosen.to(field.device).unsqueeze(-1).expand(-1, -1, field.dim)
    return field.values.gather(1, index)


def crossed(kernel: Kernel, query: Tensor, key: Tensor, positions: tuple[Tensor, Tensor]) -> Tensor:
    """Compute k of all contents (I, d) and (J, d) at each pair of positions, (P, heads, I, J)."""
    x, y = (
        Field(values.expand(len(places), -1, -1), places.unsqueeze(1).expand(-1, len(values), -1))
        for values, places in zip((query, key), positions, strict=True)
    )
    return weigh_edge(kernel, kernel(*kernel.project(x, y)), x.positions, y.positions)


class _Moments:
    """Products of values of k, (heads, S, P, I, J), by the factors that they share.

    E[k k'] is μ² plus the components of all factors that k and k' share. `across[s, t]` has the sums over pairs of
    values of different samples, `within[s]` those of the same sample.
    """

    def __init__(self, k: Tensor) -> None:
        _, _, pairs, queries, keys = k.shape
        means = k.mean((3, 4))  # (heads, S, P)
        products = means @ means.mT
        total = means.sum(2).unsqueeze(2) * means.sum(2).unsqueeze(1)
        self.same_pair = products / pairs
        self.other_pair = (total - products) / (pairs * (pairs - 1))
        axes = {"p": 2, "i": 3, "j": 4}
        sizes = {"p": pairs, "i": queries, "j": keys}
        names = tuple(axes)
        subsets = [frozenset(s) for s in chain.from_iterable(combinations(names, n) for n in range(4))]
        squares = {}
        for shared in subsets:
            rest = [axes[name] for name in names if name not in shared]
            summed = k.sum(rest, keepdim=True) if rest else k
            squares[shared] = summed.square().sum((2, 3, 4))  # (heads, S)
        self.within = {}
        for shared in subsets:
            exact = sum((-1) ** (len(more) - len(shared)) * squares[more] for more in subsets if more >= shared)
            count = 1
            for name in names:
                count *= sizes[name] if name in shared else sizes[name] * (sizes[name] - 1)
            self.within["".join(sorted(shared))] = exact / count

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
        return torch.stack(parts, -1) / everything.clamp(min=torch.finfo(torch.float64).tiny).unsqueeze(-1)
