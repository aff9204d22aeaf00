"""Kernels with one fault each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from itnet_core import ComponentConfig, ConfigError, DenseEvaluator, Field, MLPKernel, Points, Problem
from itnet_core.operator.mlp import PointTerms
from itnet_core.operator.transforms import under_functorch

Terms = tuple[PointTerms, PointTerms]


class SupportedVariants(MLPKernel):
    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        raise ConfigError("SupportedVariants", found="anything", expected="nothing")


class TileConsistency(MLPKernel):
    def tile(self, query_terms: Any, key_terms: Any) -> Tensor:
        k = super().tile(query_terms, key_terms)
        return k - k.mean(-1, keepdim=True)  # over the block, not over all points


class TiledSum(MLPKernel):
    def tile(self, query_terms: Any, key_terms: Any) -> Tensor:
        return super().tile(query_terms, key_terms) / key_terms.positions.shape[1]


class IntegrateExactness(MLPKernel):
    def can_integrate(self, problem: Problem[PointTerms]) -> bool:
        return True

    def integrate(self, problem: Problem[PointTerms]) -> Tensor:
        return 1.001 * DenseEvaluator()(problem)


class PermutationEquivariance(MLPKernel):
    def project(self, query: Field, key: Field) -> Terms:
        first, second = super().project(query, key)
        ramp = torch.linspace(0, 1, second.features.shape[1], dtype=second.features.dtype)
        return first, second._replace(features=second.features * ramp.unsqueeze(-1))


class Matrix(MLPKernel):
    def tile(self, query_terms: Any, key_terms: Any) -> Tensor:
        return super().tile(query_terms, key_terms) / query_terms.positions.shape[1]  # all queries, not those chosen


class FullValues(MLPKernel):
    def output_map(self, head_dim: int, out_dim: int) -> nn.Module:
        """Return the map behind a squashing function."""
        maps = cast(nn.Sequential, super().output_map(head_dim, out_dim))
        return nn.Sequential(nn.Softsign(), *maps) if self.values == "full" else maps


class DeclaredPositions(MLPKernel):
    @classmethod
    def reads_positions(cls, config: Any, axes: str) -> bool:
        return False


class DeclaredPositionsOfContentAlone(MLPKernel):
    def project(self, query: Field, key: Field) -> Terms:
        return super().project(*(Field(side.values, 0 * side.positions) for side in (query, key)))


class PaddingInvariance(MLPKernel):
    def project(self, query: Field, key: Field) -> Terms:
        key = key.with_values(key.values - key.positions.mean((1, 2), keepdim=True))
        return super().project(key, key)


class EmptyNeighbourhood(IntegrateExactness):
    def integrate(self, problem: Problem[PointTerms]) -> Tensor:
        mass = problem.key.weights.sum(-1).view(-1, 1, 1, 1)
        return DenseEvaluator()(problem) / mass * mass


class BatchIndependence(MLPKernel):
    def project(self, query: Field, key: Field) -> Terms:
        first, second = super().project(query, key)
        return first, second._replace(features=second.features - second.features.mean(0))


class WeightGradients(IntegrateExactness):
    def integrate(self, problem: Problem[PointTerms]) -> Tensor:
        constant = Points(problem.key.positions, problem.key.weights.detach())
        return DenseEvaluator()(replace(problem, key=constant))


class FunctionTransforms(IntegrateExactness):
    transformable = True

    def integrate(self, problem: Problem[PointTerms]) -> Tensor:
        """Return the sums without what a transform asks for."""
        sums = DenseEvaluator()(problem)
        return sums.detach() if under_functorch() else sums


class TransformExactness(MLPKernel):
    def can_transform(self, query: Field, key: Field) -> bool:
        return True

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> Tensor:
        return output_map(value_map(query.values))  # as if the kernel were 1 at x itself and 0 elsewhere


class StepExactness(MLPKernel):
    def step(self, state: Any, query: Field, values: Tensor) -> tuple[Any, Tensor]:
        terms = self.project(query, query)  # the past is forgotten
        return None, torch.einsum("bhij,bj,bjhd->bihd", self.tile(*terms), query.weights, values)


class StepExactnessTermsOfAllPoints(MLPKernel):
    pointwise_terms = True  # it is not

    def project(self, query: Field, key: Field) -> Terms:
        first, second = super().project(query, key)
        mass = key.weights.unsqueeze(-1)
        mean = (key.values * mass).sum((1, 2), keepdim=True) / mass.sum(1, keepdim=True)
        return first, second._replace(features=second.features * mean.to(second.features.dtype).sigmoid())
