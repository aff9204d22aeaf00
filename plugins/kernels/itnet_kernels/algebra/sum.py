"""Sums of integrals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from itnet_core import ConfigError, Field, Kernel, Problem, Support
from itnet_kernels.algebra.combination import CombinedKernel


class SumKernel(CombinedKernel):
    """Sum of integrals, Σ_i Σ_h O_ih ∫ k_ih V_ih u dμ_i; each kernel k_i has its own maps, normalization and support.

    The operator computes each integral by its own fast path or evaluator, and adds the results. So attention plus an
    MLP kernel is computed as `scaled_dot_product_attention` plus the MLP kernel's integral. Kernels with the
    normalization `none` and the same maps give the integral of k_1 + k_2.

    Example:
        >>> kernel = SumKernel(8, kernels=["attention", {"name": "mlp", "heads": 2, "position_dim": 2}])
        >>> operator, image = IntegralOperator(8, kernel), Field.on_grid(torch.randn(1, 4, 4, 8))
        >>> operator.explain_choice(image).chosen.partition(" ")[0]
        'kernel.integrate'
    """

    def _check(self, kernels: Sequence[Kernel]) -> None:
        self.heads = sum(kernel.heads for kernel in kernels)
        supports = {kernel.support for kernel in kernels}
        self.support = supports.pop() if len(supports) == 1 else Support()

    @property
    def summands(self) -> tuple[Kernel, ...]:
        """The kernels, including those of nested sums."""
        return tuple(summand for kernel in self._kernels for summand in kernel.summands)

    def project(self, query: Field, key: Field) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Compute the terms of all kernels."""
        query_terms, key_terms = zip(*(kernel.project(query, key) for kernel in self._kernels), strict=True)
        return query_terms, key_terms

    def tile(self, query_terms: tuple[Any, ...], key_terms: tuple[Any, ...]) -> Tensor:
        """Compute the heads of all kernels, one kernel after the other, before their normalization."""
        tiles = [kernel(*terms) for kernel, *terms in zip(self._kernels, query_terms, key_terms, strict=True)]
        return torch.cat(tiles, dim=1)

    def problem(self, query: Field, key: Field, values: Tensor, **arguments: Any) -> Problem:
        """Refuse: each integral is a problem of its own.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "SumKernel.problem",
            found=f"a sum of {len(self.summands)} integrals",
            expected="one integral",
            hint="Pose the problem of each of its `summands`, or call an IntegralOperator.",
        )
