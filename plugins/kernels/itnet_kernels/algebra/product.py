"""Products of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add, and_, mul
from typing import Any

from torch import Tensor, nn

from itnet_core import ConfigError, Field, Kernel
from itnet_kernels.algebra.combination import CombinedKernel
from itnet_kernels.algebra.scaled import ScaledKernel


class ProductKernel(CombinedKernel):
    """Product of kernels: k = Π_i k_i with the normalization `none`; with `softmax` e^k = Π_i e^{k_i}, so logits add.

    Each kernel has as many heads as the first one, or a single head for all of them. The product runs over the pairs in
    all supports, and uses V and O of the first kernel. It integrates by the measure that a kernel sets, if any.
    Arguments of a call, such as attention's `additive`, go to the first kernel.

    With `softmax`, attention times an MLP is attention with a learned bias of its scores. With `none`, a Gaussian times
    an MLP is an MLP with a learned range.

    Example:
        >>> mlp = {"name": "mlp", "normalization": "softmax", "position_dim": 2}
        >>> operator = IntegralOperator(8, ProductKernel(8, kernels=["attention", mlp]))
        >>> operator(Field.on_grid(torch.randn(1, 4, 4, 8))).values.shape
        torch.Size([1, 16, 8])

    Raises:
        ConfigError: the kernels differ in normalization, measure or heads; or one of them is a sum, or scales its
            integral instead of its k.
    """

    def _check(self, kernels: Sequence[Kernel]) -> None:
        first, *others = kernels
        measures = {kernel.measure for kernel in kernels} - {"given"}
        normalizations = {kernel.normalization for kernel in kernels}
        for kernel in kernels:
            if len(kernel.summands) > 1:
                raise self._refused("a sum", "kernels with one k", "Write the sum of the products.")
            if isinstance(kernel, ScaledKernel) and kernel.scales == "integral":
                hint = "Set its option scales to kernel, or scale the product."
                raise self._refused("a scaled integral", "factors of k", hint)
        if len(normalizations) > 1:
            hint = "A sum adds the integrals of both; MLPs and Gaussians have the option normalization."
            raise self._refused(f"the normalizations {' and '.join(sorted(normalizations))}", "one", hint)
        if len(measures) > 1:
            raise self._refused(f"the measures {' and '.join(sorted(measures))}", "one")
        if any(kernel.heads not in (1, first.heads) for kernel in others):
            heads = ", ".join(str(kernel.heads) for kernel in kernels)
            raise self._refused(f"{heads} heads", f"{first.heads}, as in the first kernel, or 1")
        self.heads, self.normalization, self.values = first.heads, first.normalization, first.values
        self.measure = next(iter(measures), "given")
        self.support = reduce(and_, (kernel.support for kernel in kernels))
        self.pointwise_terms = all(kernel.pointwise_terms for kernel in kernels)

    def project(self, query: Field, key: Field, **arguments: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Compute the terms of all kernels."""
        first, *others = self._kernels
        terms = [first.project(query, key, **arguments), *(kernel.project(query, key) for kernel in others)]
        query_terms, key_terms = zip(*terms, strict=True)
        return query_terms, key_terms

    def tile(self, query_terms: tuple[Any, ...], key_terms: tuple[Any, ...]) -> Tensor:
        """Compute k, shape (B, heads, n, m)."""
        tiles = (kernel(*terms) for kernel, *terms in zip(self._kernels, query_terms, key_terms, strict=True))
        return reduce(add if self.normalization == "softmax" else mul, tiles)

    def value_dim(self, dim: int) -> int:
        """Return the first kernel's default head_dim."""
        return self._kernels[0].value_dim(dim)

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return V of the first kernel."""
        return self._kernels[0].value_map(dim, head_dim)

    def output_map(self, head_dim: int, out_dim: int) -> nn.Module:
        """Return Σ_h O_h of the first kernel."""
        return self._kernels[0].output_map(head_dim, out_dim)

    def _refused(self, found: str, expected: str, hint: str = "") -> ConfigError:
        return ConfigError("ProductKernel.kernels", found=found, expected=expected, hint=hint)
