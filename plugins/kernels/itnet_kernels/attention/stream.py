"""Streams of kernels that have no state of a fixed size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from itnet_core import DenseEvaluator, Field, Kernel, Points, Problem


def step_over_all(
    kernel: Kernel[Any, Any], state: tuple[Any, ...] | None, query: Field, values: Tensor
) -> tuple[tuple[Any, ...], Tensor]:
    """Return what `Kernel.step` does, for any kernel whose `project` looks at each point alone.

    The state is all points so far: their terms, positions, weights and values.
    """
    query_terms, key_terms = kernel.project(query, query)
    kept: tuple[Any, ...] = key_terms, query.positions, query.weights, values
    if state is not None:
        kept = tree_map(lambda old, new: torch.cat([old, new], dim=1), state, kept)
    key_terms, positions, weights, values = kept
    problem = Problem(kernel, query.points, Points(positions, weights), query_terms, key_terms, values)
    return kept, DenseEvaluator()(problem)
