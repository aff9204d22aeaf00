"""Streams: an integral over all points so far, one point at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from itnet_core.operator.evaluators import DenseEvaluator
from itnet_core.operator.field import Field
from itnet_core.operator.kernel import Kernel, Problem
from itnet_core.operator.points import Points


def step(kernel: Kernel, state: Any, query: Field, values: Tensor) -> tuple[Any, Tensor]:
    """Advance a stream by one point, by the kernel's `step`, or else by a sum over all points so far, the state.

    Arguments and results are those of `FastPaths.step`.
    """
    if kernel.offers("step"):
        return kernel.step(state, query, values)
    if kernel.pointwise_terms:
        query_terms, new_terms = kernel.project(query, query)
        new = _append(state, (query.positions, query.weights, values, new_terms))
        positions, weights, values, terms = new
        problem = Problem(kernel, query.points, Points(positions, weights), query_terms, terms, values)
    else:
        new = _append(state, (query.positions, query.weights, values, query.values))
        positions, weights, values, features = new
        problem = kernel.problem(query, Field(features, positions, weights), values)
    return new, DenseEvaluator()(problem)


def _append(state: Any, new: tuple[Any, ...]) -> tuple[Any, ...]:
    return new if state is None else tree_map(lambda past, one: torch.cat([past, one], dim=1), state, new)
