"""Local supports: an operator, and ways to apply it; convolutions and attention of equal width beside it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import Evaluator, Field, IntegralOperator, LocalEvaluator, MLPKernel
from itnet_native import evaluator as native
from itnet_native.evaluator import NativeEvaluator

DIM, HEADS, HIDDEN, WINDOW, BATCH, NEIGHBOURS = 64, 4, 32, 5, 8, 32


class AllPairs(NativeEvaluator):
    """`native` without groups of near queries: it sums all pairs and leaves out those outside of the support."""

    def evaluate(self, problem: Any) -> Tensor:
        """Compute the integral."""
        return native._sums(problem)


EVALUATORS: dict[str, Evaluator] = {"native": NativeEvaluator(), "local": LocalEvaluator(), "all pairs": AllPairs()}


@dataclass(frozen=True, eq=False)
class Setup:
    """An operator and the field that it is applied to; gradients reach both."""

    operator: IntegralOperator
    field: Field

    @classmethod
    def window(cls, side: int) -> Setup:
        """Return a batch of grids, and a window of 5 by 5 points."""
        torch.manual_seed(0)
        kernel = MLPKernel(DIM, position_dim=2, heads=HEADS, hidden=HIDDEN, support={"window": WINDOW / side})
        return cls(IntegralOperator(DIM, kernel), Field.on_grid(torch.randn(BATCH, side, side, DIM)))

    @classmethod
    def ball(cls, points: int) -> Setup:
        """Return points in a cube, and a radius with about 32 of them."""
        torch.manual_seed(0)
        radius = (NEIGHBOURS / (4 / 3 * math.pi * points)) ** (1 / 3)
        kernel = MLPKernel(DIM, position_dim=3, heads=HEADS, hidden=HIDDEN, support={"radius": radius})
        return cls(IntegralOperator(DIM, kernel), Field(torch.randn(1, points, DIM), torch.rand(1, points, 3)))

    @property
    def image(self) -> Tensor:
        """The values as images, (B, d, side, side)."""
        side = math.isqrt(self.field.values.shape[1])
        return self.field.values.transpose(1, 2).reshape(BATCH, DIM, side, side)


def by(evaluator: Evaluator, setup: Setup) -> Tensor:
    """Apply the operator with an evaluator."""
    operator, field = setup.operator, setup.field
    problem = operator.kernel.problem(field, field, operator.value(field.values))
    return finish(setup, evaluator(problem))


def finish(setup: Setup, sums: Tensor) -> Tensor:
    """Apply the operator's output map and its pointwise part."""
    operator, field = setup.operator, setup.field
    assert operator.pointwise is not None
    out: Tensor = operator.output(sums) + operator.pointwise(field.values)
    return out


def unfolded(setup: Setup) -> Tensor:
    """Apply it by `F.unfold`: 25 keys for each query, gathered."""
    operator, field = setup.operator, setup.field
    kernel = operator.kernel
    assert isinstance(kernel, MLPKernel)
    problem = kernel.problem(field, field, operator.value(field.values))
    side, batch = math.isqrt(field.values.shape[1]), len(field.values)

    def neighbours(tensor: Tensor) -> Tensor:
        """Return (B, N, channels, 25)."""
        image = tensor.transpose(1, 2).reshape(batch, -1, side, side)
        columns = F.unfold(image, WINDOW, padding=WINDOW // 2)
        return columns.view(batch, tensor.shape[2], WINDOW**2, -1).permute(0, 3, 1, 2)

    chi = problem.key_terms.features
    forms = kernel.inputs(kernel.first.weight, kernel.first.bias)
    linear = (chi @ forms.flatten(1)).view(batch, side * side, HIDDEN, -1)
    gap = field.positions.unsqueeze(3) - neighbours(field.positions)
    psi = torch.cat([neighbours(chi), gap, gap.square().sum(2, keepdim=True)], 2)
    k = kernel.second.weight @ (linear @ psi).relu() + kernel.second.bias.unsqueeze(1)
    weighted = problem.values.flatten(2) * field.weights.unsqueeze(2)
    values = neighbours(weighted).reshape(batch, side * side, HEADS, -1, WINDOW**2)
    return finish(setup, (values @ k.unsqueeze(4)).squeeze(4))


@functools.cache
def edges(side: int) -> Tensor:
    """Return the pairs (key, query) of a window on all grids of the batch, (2, edges)."""
    at = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    near = ((at.unsqueeze(1) - at).abs() <= WINDOW // 2).all(-1).nonzero()
    offsets = side * side * torch.arange(BATCH).view(-1, 1, 1)
    return (near.flip(1).T.unsqueeze(1) + offsets.view(1, -1, 1)).flatten(1)


def message_passing(setup: Setup) -> Tensor:
    """Apply it by torch_geometric, with a message for each pair of the support.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    from torch_geometric.nn import MessagePassing

    operator, field = setup.operator, setup.field
    kernel = operator.kernel
    assert isinstance(kernel, MLPKernel)
    weight, bias = kernel.second.weight, kernel.second.bias

    class Sums(MessagePassing):
        """Sums of k v."""

        def forward(self, edges: Tensor, a: Tensor, b: Tensor, x: Tensor, values: Tensor) -> Tensor:
            """Return the sums, (N, d)."""
            return self.propagate(edges, a=a, b=b, x=x, values=values)

        def message(self, a_i: Tensor, b_j: Tensor, x_i: Tensor, x_j: Tensor, values_j: Tensor) -> Tensor:
            """Return the message of each edge, (edges, d)."""
            gap = x_i - x_j
            psi = torch.cat([b_j, gap, gap.square().sum(1, keepdim=True)], 1)
            first = (a_i.view(-1, HIDDEN, psi.shape[1]) @ psi.unsqueeze(2)).squeeze(2)
            k = F.linear(first.relu(), weight, bias)
            return (k.unsqueeze(2) * values_j.view(len(k), HEADS, -1)).flatten(1)

    problem = kernel.problem(field, field, operator.value(field.values))
    forms = kernel.inputs(kernel.first.weight, kernel.first.bias)
    chi = problem.key_terms.features.flatten(0, 1)
    weighted = (problem.values.flatten(2) * field.weights.unsqueeze(2)).flatten(0, 1)
    side = math.isqrt(field.values.shape[1])
    points = field.positions.flatten(0, 1)
    sums = Sums(aggr="add", node_dim=0)(edges(side), chi @ forms.flatten(1), chi, points, weighted)
    return finish(setup, sums.view(*field.values.shape[:2], HEADS, -1))


@functools.cache
def _flex(side: int) -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def near(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        rows, columns = (i // side - j // side).abs(), (i % side - j % side).abs()
        return (rows <= WINDOW // 2) & (columns <= WINDOW // 2)

    mask = create_block_mask(near, None, None, side * side, side * side, device="cpu")
    return partial(torch.compile(flex_attention, dynamic=False), block_mask=mask)


def flex(setup: Setup) -> Tensor:
    """Apply attention of as many heads within the window, by FlexAttention; forward alone runs on CPUs.

    Raises:
        RuntimeError: there is no FlexAttention for this machine or direction.
    """
    side = math.isqrt(setup.field.values.shape[1])
    query = setup.field.values.view(BATCH, side * side, HEADS, -1).transpose(1, 2)
    out: Tensor = _flex(side)(query, query, query)
    return out


def convolved(setup: Setup, size: int, groups: int) -> Tensor:
    """Apply a convolution of equal width."""
    return _convolution(size, groups)(setup.image)


@functools.cache
def _convolution(size: int, groups: int) -> nn.Conv2d:
    return nn.Conv2d(DIM, DIM, size, padding=size // 2, groups=groups)


WAYS: dict[str, Callable[[Setup], Tensor]] = {
    **{name: partial(by, evaluator) for name, evaluator in EVALUATORS.items()},
    "F.unfold": unfolded,
    "PyG message passing": message_passing,
    "FlexAttention, block mask": flex,
    "conv2d 3 × 3": partial(convolved, size=3, groups=1),
    "depthwise conv2d 5 × 5": partial(convolved, size=5, groups=DIM),
}


def run(way: str, setup: Setup, direction: str) -> None:
    """Apply a way in one direction, or in both."""
    if direction == "forward":
        with torch.no_grad():
            WAYS[way](setup)
        return
    values = setup.field.values.detach().requires_grad_()
    out = WAYS[way](Setup(setup.operator, setup.field.with_values(values)))
    leaves = [values, *setup.operator.parameters(), *_convolution(3, 1).parameters()]
    torch.autograd.grad(out, leaves, out.detach(), allow_unused=True)  # dense, unlike a sum's


def check(setup: Setup, *ways: str) -> None:
    """Compare the results of ways that compute the same.

    Raises:
        AssertionError: they differ.
    """
    with torch.no_grad():
        expected = WAYS["local"](setup)
        for way in ways:
            torch.testing.assert_close(WAYS[way](setup), expected, rtol=1e-3, atol=1e-4)
