"""Problems for evaluators, and derivatives of the results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from itnet_core import ComponentConfig, Evaluator, Field, Kernel, MLPKernel, Normalization, PointTerms, Problem, Support


def unchanged(tensor: Tensor) -> Tensor:
    """Return the tensor itself."""
    return tensor


@dataclass(frozen=True, eq=False)
class Case:
    """A problem for an evaluator.

    Attributes:
        title: name of the case in failures.
        kernel: the kernel.
        query: the field at the query points.
        key: the field that is integrated.
        values: values at the key points, (B, M, heads, head_dim).
        layout: changes the strides of the terms and values, not their numbers.
    """

    title: str
    kernel: Kernel
    query: Field
    key: Field
    values: Tensor
    layout: Callable[[Tensor], Tensor] = unchanged

    @property
    def problem(self) -> Problem:
        """The integral to compute."""
        problem = self.kernel.problem(self.query, self.key, self.layout(self.values))
        query_terms, key_terms = tree_map(self.layout, (problem.query_terms, problem.key_terms))
        return replace(problem, query_terms=query_terms, key_terms=key_terms)

    def to(self, dtype: torch.dtype, device: str) -> Case:
        """Return the case in another dtype and on another device. The kernel is moved in place."""
        return replace(
            self,
            kernel=self.kernel.to(device, dtype),
            query=self.query.to(device, dtype),
            key=self.key.to(device, dtype),
            values=self.values.to(device, dtype),
        )


Terms = tuple[Tensor, Tensor]


class Distance(Kernel[Terms, None]):
    """k_h = sin(s_h + ‖x − y‖² + c(x) c(y)), a kernel that no evaluator knows, with pairs of tensors as terms."""

    class Config(ComponentConfig):
        """Options of the kernel."""

        normalization: Normalization = "none"
        """As in `Kernel`."""
        support: Support = Support()
        """As in `Kernel`."""

    heads = 2

    def __init__(self, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        c = self.configure(config, options)
        self.normalization, self.support = c.normalization, c.support
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, self.heads))

    def project(self, query: Field, key: Field) -> tuple[Terms, Terms]:
        """Return the positions and the first channel."""
        return (query.positions, query.values[..., :1]), (key.positions, key.values[..., :1])

    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Return k of shape (B, heads, n, m)."""
        (x, u), (y, v) = query_terms, key_terms
        pairs = (x.unsqueeze(2) - y.unsqueeze(1)).square().sum(-1) + u * v.transpose(1, 2)
        return (self.scale.view(1, -1, 1, 1) + pairs.unsqueeze(1)).sin()


class Doubled(MLPKernel):
    """An MLP kernel with its own `tile`, which evaluators for MLP kernels must not treat as an MLP kernel."""

    def tile(self, query_terms: PointTerms, key_terms: PointTerms) -> Tensor:
        """Return twice the MLP."""
        return 2 * super().tile(query_terms, key_terms)


def with_gradients(case: Case) -> tuple[Case, list[Tensor]]:
    """Return the case over tensors that require gradients, and these tensors.

    They are the values and positions of the query and key points, the values that are summed, the weights of the key
    points, and the kernel's parameters.
    """
    parts = (case.query.values, case.query.positions, case.key.values, case.key.positions, case.values)
    inputs = [tensor.detach().clone().requires_grad_() for tensor in (*parts, case.key.weights)]
    query = Field(inputs[0], inputs[1], case.query.weights)
    key = Field(inputs[2], inputs[3], inputs[5])
    return replace(case, query=query, key=key, values=inputs[4]), [*inputs, *case.kernel.parameters()]


def linear(result: Tensor) -> Tensor:
    """Return a fixed linear function of a result."""
    weights = torch.linspace(-1, 1.5, result.numel(), dtype=torch.float64).to(result)
    return result.flatten() @ weights


def derivatives(case: Case, evaluator: Callable[..., Tensor], number: int | None = None) -> list[Tensor]:
    """Return the gradients of a linear function of the result to the tensors of `with_gradients`.

    Args:
        case: the problem.
        evaluator: computes the result.
        number: return the gradient to this tensor alone, while no other one requires a gradient.
    """
    case, inputs = with_gradients(case)
    chosen = inputs if number is None else [inputs[number]]
    for tensor in inputs:
        tensor.requires_grad_(any(tensor is other for other in chosen))
    try:
        result = evaluator(case.problem)
        if not result.requires_grad:
            return [torch.zeros_like(tensor) for tensor in chosen]
        gradients = torch.autograd.grad(linear(result), chosen, allow_unused=True)
    finally:
        for parameter in case.kernel.parameters():
            parameter.requires_grad_()
    return [torch.zeros_like(x) if g is None else g.detach() for x, g in zip(chosen, gradients, strict=True)]


def second_derivative(case: Case, evaluator: Callable[..., Tensor]) -> Tensor:
    """Return the gradient to the values of the squared gradient to the weights."""
    case, inputs = with_gradients(case)
    values, weights = inputs[4], inputs[5]
    [first] = torch.autograd.grad(linear(evaluator(case.problem)), weights, create_graph=True)
    [second] = torch.autograd.grad(first.square().sum(), values, allow_unused=True)
    return torch.zeros_like(values) if second is None else second


def with_tensor(case: Case, evaluator: Evaluator, name: str, tensor: Tensor) -> Tensor:
    """Return the evaluator's result with one tensor replaced: the values to sum, or one of the key field."""
    if name == "sums":
        return evaluator(replace(case, values=tensor).problem)
    other: Any = {name: tensor}
    return evaluator(replace(case, key=case.key.replace(**other)).problem)
