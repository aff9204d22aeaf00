"""Skeleton (CUR) factorisation of the paper's kernel."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveInt, field_validator
from torch import Tensor, nn

from itnet_core import (
    AutoEvaluator,
    ComponentConfig,
    Evaluator,
    Field,
    Kernel,
    MLPKernel,
    Points,
    PointTerms,
    Problem,
    ShapeError,
)


class SkeletonKernel(Kernel[PointTerms, None]):
    """Skeleton (CUR) factorisation: k̃_h(x, y) = Σ_qp k_h(x, y_q) U_hqp k_h(x_p, y), for an MLP kernel k.

    Goreinov, Tyrtyshnikov & Zamarashkin, "A theory of pseudoskeleton approximations", 1997. x_p and y_q are r pivots of
    each side, so each head has rank r, and its factors are columns and rows of the exact kernel.

    `integrate` always applies: two integrals by the exact kernel, one over all points at the pivots x_p and one over
    the pivots y_q, with U between them. That is 2 N r pairs instead of N², in O(N + r) memory.

    `factorize` computes a skeleton of a trained MLP kernel. A new one starts with random pivots and learns like any
    kernel: k, U and the values at the pivots are parameters.

    Example:
        >>> operator = IntegralOperator(8, SkeletonKernel(8, pivots=16))
        >>> operator(Field(torch.randn(1, 1000, 8), torch.rand(1, 1000, 4))).values.shape
        torch.Size([1, 1000, 8])

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.
    """

    transformable = True

    class Config(ComponentConfig):
        """Pivots, and the exact kernel."""

        pivots: PositiveInt = 64
        """Pivots of each side, r."""
        mlp: MLPKernel.Config = MLPKernel.Config()
        """The exact kernel, without a support and with the normalization `none`."""

        @field_validator("mlp")
        @classmethod
        def _separable(cls, mlp: MLPKernel.Config) -> MLPKernel.Config:
            if not mlp.support.everywhere or mlp.normalization != "none":
                raise ValueError("every pair in the support and normalization 'none', so that pairs separate")
            return mlp

    pivot_positions: Tensor
    evaluator: Evaluator

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Whether the exact kernel reads positions."""
        return MLPKernel.reads_positions(config.mlp, axes)

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.values = c.mlp.heads, c.mlp.values
        self.exact = MLPKernel(dim, c.mlp)
        self.core = nn.Parameter(torch.randn(self.heads, c.pivots, c.pivots) / c.pivots)
        # At x_p, then at y_q.
        self.pivot_values = nn.Parameter(torch.randn(2 * c.pivots, dim))
        self.register_buffer("pivot_positions", 2 * torch.rand(2 * c.pivots, c.mlp.position_dim) - 1)
        self.evaluator = AutoEvaluator()

    def project(self, query: Field, key: Field) -> tuple[PointTerms, PointTerms]:
        """Compute the exact kernel's terms.

        Raises:
            ShapeError: the number of coordinates of the positions is not the exact kernel's `position_dim`.
        """
        coordinates, expected = key.positions.shape[-1], self.config.mlp.position_dim
        if coordinates != expected:
            raise ShapeError(
                "SkeletonKernel.project(key.positions)",
                found=f"{coordinates} coordinates",
                expected=f"mlp.position_dim = {expected}",
            )
        return self.exact.project(query, key)

    def tile(self, query_terms: PointTerms, key_terms: PointTerms) -> Tensor:
        """Compute k̃, shape (B, heads, n, m)."""
        (_, rows), (_, columns) = self._sides(query_terms.features.shape[0])
        return self.exact(query_terms, columns) @ self.core @ self.exact(rows, key_terms)

    @property
    def pair_width(self) -> int:
        """The exact kernel's pair width: its hidden layer, for the points of a tile and the pivots."""
        return self.exact.pair_width

    def integrate(self, problem: Problem[PointTerms]) -> Tensor:
        """Compute Σ_q k(x, y_q) Σ_p U_qp ∫ k(x_p, y) v(y) dμ(y), as two integrals by the exact kernel."""
        (rows, row_terms), (columns, column_terms) = self._sides(problem.values.shape[0])
        first = Problem(self.exact, rows, problem.key, row_terms, problem.key_terms, problem.values)
        moments = self.evaluator(first)
        mixed = torch.einsum("hqp,bphd->bqhd", self.core.to(moments.dtype), moments)
        return self.evaluator(Problem(self.exact, problem.query, columns, problem.query_terms, column_terms, mixed))

    def _sides(self, batch: int) -> tuple[tuple[Points, PointTerms], tuple[Points, PointTerms]]:
        """Return the pivots x_p and y_q, each with weight 1, and their terms."""
        pivots = Field(self.pivot_values.unsqueeze(0), self.pivot_positions.unsqueeze(0)).with_measure("counting")
        terms, points = self.exact.project(pivots, pivots)[1], pivots.points.expand(batch)
        terms = PointTerms(*(part.expand(batch, -1, -1) for part in terms))
        count = self.config.pivots
        rows, columns = (
            (points.narrow(side), PointTerms(*(part[:, side] for part in terms)))
            for side in (slice(count), slice(count, None))
        )
        return rows, columns
