"""Random problems that `gpu.py` checks and times."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from itnet_core import Field, MLPKernel, PointTerms, Problem

MLPProblem = Problem[PointTerms]


def random_problem(
    points: int, dtype: torch.dtype, device: str, *, head_dim: int = 16, padding: bool = False, **options: Any
) -> MLPProblem:
    """Return the problem of one sample of N points of random positions, values and terms, rounded to `dtype`."""
    torch.manual_seed(0)
    small = {"hidden": 2, "rank": 2, "frequencies": 1}  # the interpreter is slow
    sizes: dict[str, Any] = {} if device == "cuda" else small
    kernel = MLPKernel(64, position_dim=2, **sizes, **options).to(device)
    weights = torch.full((1, points), 1.0 / points, device=device)
    if padding:
        weights = weights * (torch.arange(points, device=device) % 5 != 3)
    positions = 2 * torch.rand(1, points, 2, device=device) - 1
    field = Field(torch.randn(1, points, 64, device=device), positions, weights.to(dtype))
    values = torch.randn(1, points, kernel.heads, head_dim, device=device)
    return converted(kernel.problem(field, field, values), dtype)


def converted(problem: MLPProblem, dtype: torch.dtype) -> MLPProblem:
    """Return the problem with the same numbers in another dtype, as new leaves."""
    kernel = mlp(problem)
    copy = MLPKernel(kernel.content.in_features, kernel.config).to(problem.values.device, dtype)
    copy.load_state_dict(kernel.state_dict())
    wide = torch.promote_types(dtype, torch.float32)

    def terms(side: PointTerms) -> PointTerms:
        features = side.features.detach().to(dtype, copy=True).requires_grad_()
        return PointTerms(features, side.positions.to(wide))

    values = problem.values.detach().to(dtype, copy=True).requires_grad_()
    query_terms, key_terms = terms(problem.query_terms), terms(problem.key_terms)
    return replace(problem, kernel=copy, query_terms=query_terms, key_terms=key_terms, values=values)


def mlp(problem: MLPProblem) -> MLPKernel:
    """Return the problem's kernel."""
    assert isinstance(problem.kernel, MLPKernel)
    return problem.kernel


def leaves(problem: MLPProblem) -> list[Tensor]:
    """Return the tensors that gradients are taken with respect to."""
    parameters = [parameter for name, parameter in problem.kernel.named_parameters() if name != "content.weight"]
    return [problem.query_terms.features, problem.key_terms.features, problem.values, *parameters]


def operations(problem: MLPProblem) -> int:
    """Return the multiplications and additions of the sums, without padding and the activation."""
    (batch, queries, keys), kernel = problem.shape, mlp(problem)
    pair = 2 * (kernel.config.hidden * (kernel.inputs.width + kernel.heads) + problem.values[0, 0].numel())
    return batch * queries * keys * pair
