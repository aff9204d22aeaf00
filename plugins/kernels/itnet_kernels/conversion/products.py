"""Products of two tensors, written as `matmul`, `bmm`, `baddbmm` or `einsum`, as q kᵀ and as weights times values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

PRODUCTS = {"matmul", "bmm", "baddbmm", "einsum", "rmatmul"}
"""Names of products that mix points if neither factor is a weight, such as the scores of attention."""


@dataclass(frozen=True)
class Product:
    """A product of two tensors.

    Attributes:
        left: the first factor.
        right: the second factor.
        indices: the indices of both factors and of the result, of `einsum`.
        added: whether something is added to the product, by `baddbmm`.
    """

    left: Tensor
    right: Tensor
    indices: tuple[str, str, str] | None = None
    added: bool = False

    def scores(self, shape: torch.Size) -> tuple[Tensor, Tensor] | None:
        """Return q, (*batch, N, d), and k, (*batch, M, d), if the result of this shape is q kᵀ."""
        q, k = self.left, self.right.mT
        if self.indices is not None:
            (left, right, out), (q, k) = self.indices, (self.left, self.right)
            if out[-1:] in left:
                left, right, q, k = right, left, k, q
            batch, n, m, d = out[:-2], out[-2:-1], out[-1:], "".join({*left} - {*out})
            if len(d) != 1 or {*left} != {*batch, n, d} or {*right} != {*batch, m, d}:
                return None
            q, k = torch.einsum(f"{left}->{batch}{n}{d}", q), torch.einsum(f"{right}->{batch}{m}{d}", k)
        return q.expand(*shape[:-1], -1), k.expand(*shape[:-2], -1, -1)

    def integral(self) -> tuple[Tensor, Callable[[Tensor], Tensor]] | None:
        """Return v, (*batch, M, channels), if the left factor is weights (*batch, N, M) of a sum over the last axis.

        The function returns the product from the sums, (*batch, N, channels).
        """
        if self.indices is None:
            around, inner = self.left.shape[:-2], self.right.shape[:-2]
            fits = len(inner) <= len(around) and all(
                m in (1, n) for m, n in zip(inner[::-1], around[::-1], strict=False)
            )
            return (self.right.expand(*around, -1, -1), lambda sums: sums) if fits else None
        left, right, out = self.indices
        batch, n, m, c = left[:-2], left[-2:-1], left[-1:], "".join({*right} - {*left})
        if len(c) != 1 or {*right} != {*batch, m, c} or {*out} != {*batch, n, c}:
            return None
        value = torch.einsum(f"{right}->{batch}{m}{c}", self.right)
        return value, lambda sums: torch.einsum(f"{batch}{n}{c}->{out}", sums)


def product(name: str, args: Any, kwargs: Any) -> Product | None:
    """Return the product of two tensors of at least two dimensions that a function computes, if it does."""
    if name not in PRODUCTS:
        return None
    if name == "baddbmm":
        return _baddbmm(*args, **kwargs)
    factors = [*args, *kwargs.values()]
    if name == "einsum":
        equation, *factors = factors
        factors = [*factors[0]] if isinstance(factors[0], list | tuple) else factors
    if len(factors) < 2 or not all(isinstance(factor, Tensor) and factor.ndim > 1 for factor in factors):
        return None
    if name != "einsum":
        return Product(*factors[:2])
    inputs, _, result = equation.replace(" ", "").partition("->")
    terms = [*inputs.split(","), result]
    more = "ABCDEFGH"[: factors[0].ndim - len(terms[0].replace("...", ""))]
    terms = [term.replace("...", more) for term in terms]
    sizes = [*(factor.ndim for factor in factors), len(terms[-1])]
    plain = len(terms) == 3 and [len({*term}) for term in terms] == sizes
    return Product(factors[0], factors[1], (terms[0], terms[1], terms[2])) if plain else None


def _baddbmm(
    input: Tensor,  # noqa: A002
    batch1: Tensor,
    batch2: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    out: Tensor | None = None,
) -> Product:
    return Product(batch1 * alpha, batch2, added=beta != 0)
