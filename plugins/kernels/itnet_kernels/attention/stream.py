"""Streams of kernels without a state of fixed size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from itnet_core import DenseEvaluator, Field, Kernel, Points, Problem


def step_over_all_points(
    kernel: Kernel, state: tuple[Any, ...] | None, query: Field, values: Tensor
) -> tuple[tuple[Any, ...], Tensor]:
    """Advance a stream whose state is all points so far: their terms, positions, weights and values.

    It implements `Kernel.step` for kernels whose `project` treats each point separately.

    Args:
        kernel: the kernel.
        state: as in `Kernel.step`.
        query: the new point.
        values: of the new point, (B, 1, heads, head_dim).

    Returns:
        The new state, and the integral at the new point, (B, 1, heads, head_dim).
    """
    query_terms, key_terms = kernel.project(query, query)
    new: tuple[Any, ...] = key_terms, query.positions, query.weights, values
    if state is not None:
        new = tree_map(lambda past, one: torch.cat([past, one], dim=1), state, new)
    key_terms, positions, weights, values = new
    problem = Problem(kernel, query.points, Points(positions, weights), query_terms, key_terms, values)
    return new, DenseEvaluator()(problem)
