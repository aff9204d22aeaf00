"""The integral over points that are dealt to several processes: key points travel around a ring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from itnet_core.operator.evaluators import Evaluator, TiledEvaluator
from itnet_core.operator.kernel import Problem
from itnet_core.operator.messages import shift
from itnet_core.operator.points import Points


def ring_sum(problem: Problem, evaluator: Evaluator) -> Tensor:
    """Compute the integral over the key points of all processes, at this one's query points, (B, N, heads, d).

    In each of P turns the key points move one process on, as in ring attention (Liu et al., arXiv 2310.01889), so that
    each process computes a share of N M / P² pairs a turn.

    Args:
        problem: the problem of this process's query points and key points.
        evaluator: computes the part of a turn, if it is a plain sum. With `softmax`, `TiledEvaluator` does, since parts
            are weighed by their totals.
    """
    turns = _turns(problem)
    if problem.kernel.normalization == "none":
        return torch.stack([evaluator(turn) for turn in turns]).sum(0)
    tiled = TiledEvaluator()
    sums, totals = (torch.stack(parts) for parts in zip(*map(tiled.with_totals, turns), strict=True))
    empty = (totals == -torch.inf).all(0, keepdim=True)
    shares = totals.masked_fill(empty, 0.0).softmax(0).unsqueeze(-1)
    return (sums * shares).sum(0).to(sums.dtype)


def _turns(problem: Problem) -> Iterator[Problem]:
    """Yield the problems of this process's query points and each process's key points, its own first."""
    shards = problem.key.shards
    assert shards is not None
    tensors, spec = tree_flatten((problem.key_terms, problem.key.positions, problem.key.weights, problem.values))
    for turn in range(shards.size):
        tensors = shift(tensors, shards.group) if turn else tensors
        terms, positions, weights, values = tree_unflatten(tensors, spec)
        yield replace(problem, key=Points(positions, weights), key_terms=terms, values=values)
