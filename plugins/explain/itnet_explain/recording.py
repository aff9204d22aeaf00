"""The fields that the operators of a model are called with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn

from itnet_core import (
    Evaluator,
    Field,
    IntegralOperator,
    Kernel,
    Problem,
    TiledEvaluator,
    evaluation_mode,
    map_tensors,
)


@dataclass(frozen=True)
class Call:
    """An integral that a model computes, with the fields that it was called with.

    Example:
        >>> field = Field(torch.randn(2, 9, 8), torch.rand(2, 9, 4))
        >>> call = Call("operator", MLPKernel(8), field, field)
        >>> call.problem(0).shape
        (1, 9, 9)

    Attributes:
        path: of the operator in the model, and the number of the summand if its kernel is a sum.
        kernel: k.
        query: the field at the query points.
        key: the field that is integrated.
        arguments: further arguments of `kernel.project`, such as a mask.
    """

    path: str
    kernel: Kernel
    query: Field
    key: Field
    arguments: dict[str, Any] = field(default_factory=dict)

    def problem(self, sample: int, queries: Tensor | None = None) -> Problem:
        """Return the problem of one sample, at some of its query points, by their numbers."""
        query, key = self.sides(sample)
        arguments = {name: _of_sample(value, sample, len(self.query.values)) for name, value in self.arguments.items()}
        problem = self.kernel.problem(query, key, key.values.unsqueeze(2), **arguments)
        return problem if queries is None else problem.at_queries(queries.unsqueeze(0))

    def sides(self, sample: int) -> tuple[Field, Field]:
        """Return the fields of one sample."""
        query = _sample(self.query, sample)
        return query, query if self.key is self.query else _sample(self.key, sample)

    def between_parts(self) -> Iterator[tuple[int, int, Call]]:
        """Yield the call for each pair of parts of its unions: x of one part, y of the other; none without a union.

        Further arguments of `project`, which belong to the pairs of all points, are left out.
        """
        sides = [list(_parts(side)) for side in (self.query, self.key)]
        if max(map(len, sides)) > 1:
            for (i, query), (j, key) in product(*map(enumerate, sides)):
                yield i, j, Call(self.path, self.kernel, query, key)

    def draw_pairs(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw pairs of positions in the support from random samples, both (count, p)."""
        samples, rows, columns = self.draw_points(count, generator)
        return self.query.positions[samples, rows], self.key.positions[samples, columns]

    def draw_points(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw pairs of points in the support: numbers of their samples, query points and key points, each (count,)."""
        samples = torch.randint(len(self.query.values), (count,), generator=generator)
        rows = torch.multinomial(self.query.weights.cpu().float()[samples], 1, generator=generator)
        samples, rows = (numbers.to(self.query.device) for numbers in (samples, rows.squeeze(1)))
        inside = self.kernel.support.mask(self.query.positions[samples, rows].unsqueeze(1), self.key.positions[samples])
        chances = self.key.weights[samples] * inside.squeeze(1)
        columns = torch.multinomial(chances.cpu().float() + 1e-30, 1, generator=generator)
        return samples, rows, columns.squeeze(1).to(samples.device)

    def chances(self, sample: int) -> Tensor:
        """Return the chance of each pair of a sample's points to be drawn, (N, M)."""
        query, key = self.sides(sample)
        of_key = key.weights.double().unsqueeze(1) * self.kernel.support.mask(query.positions, key.positions)
        of_key = of_key / of_key.sum(2, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
        return (query.weights.double() / query.weights.double().sum()).unsqueeze(2).mul(of_key)[0]

    @property
    def aligned(self) -> bool:
        """Whether the points of all samples are at the same positions, such as those of a grid."""
        return all(bool((side.positions == side.positions[:1]).all()) for side in (self.query, self.key))


@torch.no_grad()
def record(model: nn.Module, run: Callable[[], Any]) -> list[Call]:
    """Run a model in evaluation mode, and return the integrals that its operators computed, in order.

    A converted layer runs as the original did where that is faster. So the model runs again, by the evaluator `tiled`,
    if that makes further operators compute.

    Example:
        >>> operator, field = IntegralOperator(8, MLPKernel(8)), Field(torch.randn(2, 9, 8), torch.rand(2, 9, 4))
        >>> [call] = record(nn.ModuleDict({"first": operator}), lambda: operator(field))
        >>> call.path, call.query
        ('first', Field(B=2, N=9, d=8, p=4))

    Args:
        model: with integral operators.
        run: runs the model.
    """
    calls: list[Call] = []

    def remember(path: str, operator: Any, fields: tuple[Any, ...], options: dict[str, Any]) -> None:
        named = dict(zip(("query", "key"), fields, strict=False)) | options
        query = named.pop("query").without_padding()
        key = named.pop("key", None)
        key = query if key is None or key is query else key.without_padding()
        kernels = operator.kernel.summands
        for number, kernel in enumerate(kernels):
            measured = query.with_measure(kernel.measure)
            other = measured if key is query else key.with_measure(kernel.measure)
            name = path if len(kernels) == 1 else f"{path}[{number}]"
            calls.append(Call(name, kernel, measured, other, named))

    operators = {path: module for path, module in model.named_modules() if isinstance(module, IntegralOperator)}
    hooks = [
        module.register_forward_pre_hook(partial(remember, path), with_kwargs=True)
        for path, module in operators.items()
    ]
    try:
        with evaluation_mode(model):
            run()
            computed = {call.path.partition("[")[0] for call in calls}
            if silent := [module for path, module in operators.items() if path not in computed]:
                calls.clear()
                with _evaluated_by(TiledEvaluator(), silent):
                    run()
    finally:
        for hook in hooks:
            hook.remove()
    return calls


@contextmanager
def _evaluated_by(evaluator: Evaluator, operators: Sequence[IntegralOperator]) -> Iterator[None]:
    own = [operator.evaluator for operator in operators]
    try:
        for operator in operators:
            operator.evaluator = evaluator
        yield
    finally:
        for operator, before in zip(operators, own, strict=True):
            operator.evaluator = before


def _parts(side: Field) -> Iterator[Field]:
    """Yield the fields that a field is the union of."""
    start = 0
    for size in side.points.parts or (side.values.shape[1],):
        part = slice(start, start := start + size)
        yield Field(side.values[:, part], side.positions[:, part], side.weights[:, part])


def _sample(side: Field, sample: int) -> Field:
    return map_tensors(side, itemgetter(slice(sample, sample + 1)))


def _of_sample(value: Any, sample: int, batch: int) -> Any:
    """Return a sample's part of an argument that has one for each, (B, heads, N, M)."""
    per_sample = isinstance(value, Tensor) and value.ndim == 4 and len(value) == batch
    return value[sample : sample + 1] if per_sample else value
