"""Kernels with one fault each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from itnet_core import ComponentConfig, ConfigError, DenseEvaluator, Field, MLPKernel, Points
from itnet_core.operator.mlp.kernel import PointTerms
from itnet_core.operator.transforms import under_functorch


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
    shortcut = True

    def integrates(self, query: Points, key: Points) -> bool:
        return True

    def integrate(self, query: Points, key: Points, values: Tensor) -> Tensor:
        return 1.001 * DenseEvaluator()(self, query, key, values)


class FastPathDeclaration(IntegrateExactness):
    shortcut = False


class PermutationEquivariance(MLPKernel):
    def project(self, query: Field, key: Field) -> tuple[PointTerms, PointTerms]:
        first, second = super().project(query, key)
        features = second.features
        rising = torch.linspace(0, 1, features.shape[1], dtype=features.dtype).unsqueeze(-1)
        return first, second._replace(features=features * rising)


class DeclaredPositions(MLPKernel):
    @classmethod
    def reads_positions(cls, config: Any, axes: str) -> bool:
        return False


class DeclaredPositionsOfContentAlone(MLPKernel):
    def project(self, query: Field, key: Field) -> tuple[PointTerms, PointTerms]:
        return super().project(*(Field(side.values, 0 * side.positions) for side in (query, key)))


class PaddingInvariance(MLPKernel):
    def project(self, query: Field, key: Field) -> tuple[PointTerms, PointTerms]:
        key = key.with_values(key.values - key.positions.mean((1, 2), keepdim=True))
        return super().project(key, key)


class EmptyNeighbourhood(IntegrateExactness):
    def integrate(self, query: Points, key: Points, values: Tensor) -> Tensor:
        mass = key.weights.sum(-1).view(-1, 1, 1, 1)
        return DenseEvaluator()(self, query, key, values) / mass * mass


class BatchIndependence(MLPKernel):
    def project(self, query: Field, key: Field) -> tuple[PointTerms, PointTerms]:
        first, second = super().project(query, key)
        return first, second._replace(features=second.features - second.features.mean(0))


class WeightGradients(IntegrateExactness):
    def integrate(self, query: Points, key: Points, values: Tensor) -> Tensor:
        return DenseEvaluator()(self, query, key._replace(weights=key.weights.detach()), values)


class FunctionTransforms(IntegrateExactness):
    transformable = True

    def integrate(self, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return the sums without what a transform asks for."""
        found = DenseEvaluator()(self, query, key, values)
        return found.detach() if under_functorch() else found


class TransformExactness(MLPKernel):
    whole = True

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> Tensor:
        return output_map(value_map(query.values))  # as if the kernel were 1 at x itself and 0 elsewhere


class StepExactness(MLPKernel):
    streaming = True

    def step(self, state: Any, query: Field, values: Tensor) -> tuple[Any, Tensor]:
        terms = self.project(query, query)  # the past is forgotten
        return None, torch.einsum("bhij,bj,bjhd->bihd", self.tile(*terms), query.weights, values)
