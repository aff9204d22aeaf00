"""Kernels that take the additive masks of attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from itnet_core import Field, Kernel, Problem
from itnet_kernels.attention.attention import expand_additive, select_columns


class MaskedKernel(Kernel[Any, None]):
    """A kernel with attention's argument `additive`, a: k e^a, or k + a with `softmax`, so that masks apply to it too.

    Args:
        kernel: the kernel k.
    """

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel
        self.heads, self.normalization, self.values = kernel.heads, kernel.normalization, kernel.values
        self.support, self.measure, self.reads = kernel.support, kernel.measure, kernel.reads

    @property
    def opaque(self) -> bool:
        """Whether the kernel is opaque."""
        return self.kernel.opaque

    def initialize(self, shortest: float, longest: float) -> bool:
        """Set the kernel's lengths."""
        return self.kernel.initialize(shortest, longest)

    def problem(
        self, query: Field, key: Field, values: Tensor, additive: Tensor | None = None, **arguments: Any
    ) -> Problem:
        """Return the problem of the kernel itself without `additive`."""
        if additive is None:
            return self.kernel.problem(query, key, values, **arguments)
        return super().problem(query, key, values, additive=additive, **arguments)

    def project(self, query: Field, key: Field, additive: Tensor | None = None, **arguments: Any) -> tuple[Any, Any]:
        """Compute the kernel's terms, with the rows of `additive`, (B, N, heads, M), and its columns, (B, M)."""
        query_terms, key_terms = self.kernel.project(query, key, **arguments)
        columns = torch.arange(key.values.shape[1], device=key.device).expand(key.values.shape[0], -1)
        shape = key.values.shape[0], self.heads, query.values.shape[1], key.values.shape[1]
        additive = key.values.new_zeros(1) if additive is None else additive
        rows = expand_additive(additive, shape, type(self.kernel).__name__).transpose(1, 2)
        return (query_terms, rows), (key_terms, columns)

    def tile(self, query_terms: Any, key_terms: Any) -> Tensor:
        """Compute k, shape (B, heads, n, m)."""
        (query_terms, rows), (key_terms, columns) = query_terms, key_terms
        k: Tensor = self.kernel(query_terms, key_terms)
        additive = select_columns(rows, columns).to(k.dtype)
        return k + additive if self.normalization == "softmax" else k * additive.exp()

    @property
    def pair_width(self) -> int:
        """The kernel's pair width, and one number for each head of `additive`."""
        return self.kernel.pair_width + self.heads
