"""Checks of evaluators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import cycle, islice
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from itnet_core import (
    ComponentConfig,
    DenseEvaluator,
    Evaluator,
    Field,
    IntegralOperator,
    ITNetError,
    Kernel,
    MLPKernel,
    Normalization,
    Problem,
    Support,
)
from itnet_core.operator.mlp import ACTIVATIONS, PointTerms
from itnet_core.plugin.specs import Kind
from itnet_testing.conformance.base import Conformance, skip_unless
from itnet_testing.conformance.kernels import SUPPORTS
from itnet_testing.conformance.tensors import call, same
from itnet_testing.derivatives import transforms
from itnet_testing.fields import scattered

ADDITIVE = ("query", "key", "displacement")
"""Inputs of an MLP kernel whose first layer is additive, a(x) + b(y)."""

SIZES = ((2, 7, 11), (1, 1, 1), (3, 1, 5), (1, 37, 70), (2, 20, 3))
"""Batch size, query points and key points of the cases."""

HEAD_DIMS = (3, 8, 1)


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


class EvaluatorConformance(Conformance):
    """Test class for an evaluator, which is compared with `dense` in float64.

    Its result must be right wherever it supports a problem; elsewhere it must raise. Override `kernels` for an
    evaluator of special kernels.

    Attributes:
        dtype: dtype of the problems.
        device: device of the problems.
        bound: largest error allowed, relative to the largest entry of a tensor, unless the evaluator declares a larger
            `tolerance`; by default 1e-9 in float64, 1e-4 in float32, 2e-2 in shorter dtypes.
    """

    kind: ClassVar[Kind] = "evaluator"
    dtype: ClassVar[torch.dtype] = torch.float64
    device: ClassVar[str] = "cpu"
    bound: ClassVar[float | None] = None

    def kernels(self) -> Iterator[tuple[str, Callable[..., Kernel]]]:
        """Yield names and factories of kernels for 8 channels and positions in R^4.

        A factory takes the options `normalization` and `support`.
        """
        mlp = partial(MLPKernel, 8, heads=2, hidden=6, rank=3, frequencies=2)
        for activation in ACTIVATIONS:
            yield f"MLP of {activation}", partial(mlp, activation=activation)
            yield f"additive MLP of {activation}", partial(mlp, activation=activation, inputs=ADDITIVE)
        yield "MLP of products and distances", partial(mlp, heads=3, inputs=("product", "distance"))
        yield "wide MLP", partial(mlp, heads=1, hidden=33)
        yield "MLP with a tile of its own", partial(Doubled, 8, heads=2)
        yield "kernel of two terms", Distance

    def cases(self) -> Iterator[Case]:
        """Yield every kernel with both normalisations, without and with a support; sizes and supports take turns."""
        sizes, head_dims, supports = cycle(SIZES), cycle(HEAD_DIMS), cycle(SUPPORTS[1:])
        torch.manual_seed(0)
        for number, (name, build) in enumerate(self.kernels()):
            for normalization in ("none", "softmax"):
                for support in ({}, next(supports)):
                    kernel = build(normalization=normalization, support=support)
                    title = f"{name}, {normalization}, {dict(support)}"
                    yield self.case(title, kernel, next(sizes), next(head_dims))
            if number % 2:
                next(supports)  # so that a normalisation meets every support

    def some(self) -> Iterator[Case]:
        """Yield every third supported case, in `dtype` and on `device`."""
        for case in islice(self.evaluated(), 0, None, 3):
            yield case.to(self.dtype, self.device)

    def case(self, title: str, kernel: Kernel, size: tuple[int, int, int], head_dim: int = 3) -> Case:
        """Return a case of random fields for a kernel; a third of the key points have weight 0."""
        batch, n, m = size
        query, key = scattered(batch, n, 8, seed=1).to(torch.float64), scattered(batch, m, 8, seed=2).to(torch.float64)
        weights = key.weights * (torch.arange(m) % 3 != 1)
        key = Field(key.values, key.positions, weights)
        values = torch.randn(batch, m, kernel.heads, head_dim, generator=torch.Generator().manual_seed(3))
        return Case(f"{title}, {size}", kernel.double().eval(), query, key, values.double())

    @cached_property
    def evaluator(self) -> Evaluator:
        """The evaluator under test."""
        evaluator: Evaluator = self.cls(**self.settings)
        return evaluator

    def evaluated(self) -> Iterator[Case]:
        """Yield the supported cases, in float64 on the CPU."""
        for case in self.cases():
            if self.evaluator.supports(case.to(self.dtype, self.device).problem):
                yield case.to(torch.float64, "cpu")

    def compare(self, actual: list[Tensor], expected: list[Tensor], names: str) -> None:
        """Compare tensors with those of `dense`, relative to the largest entry of each.

        Raises:
            AssertionError: they differ by more than the bound.
        """
        least = {torch.float64: 1e-9, torch.float32: 1e-4}.get(self.dtype, 2e-2) if self.bound is None else self.bound
        bound = max(least, self.evaluator.tolerance)
        largest = max(float(other.abs().max()) for other in expected if other.numel())
        for number, (one, other) in enumerate(zip(actual, expected, strict=True)):
            assert one.shape == other.shape, f"{names}, tensor {number}: shape {tuple(one.shape)}, not {other.shape}"
            error = (one.to(other) - other).abs().max()
            allowed = bound * other.abs().max().clamp(min=0.01 * largest)  # what is 0 but for rounding has no size
            assert error <= allowed, f"{names}, tensor {number}: off by {error:.3g}; allowed are {allowed:.3g}"

    def check_rank(self) -> None:
        """The rank is an integer or `None`, and `None` for an approximate evaluator, because `auto` is exact."""
        rank = self.cls.rank
        assert rank is None or isinstance(rank, int), f"rank = {rank!r}; expected an integer or None"
        assert rank is None or not self.evaluator.tolerance, f"rank {rank} and a tolerance; auto is exact"

    def check_supported_cases(self) -> None:
        """The evaluator supports some of the cases."""
        assert next(self.evaluated(), None) is not None, "supports() is False for every case"

    def check_values_match_dense(self) -> None:
        """Results equal those of `dense` in float64 up to the tolerance, in the dtype of the values."""
        for case in self.evaluated():
            expected = DenseEvaluator()(case.problem).detach()
            result = self.evaluator(case.to(self.dtype, self.device).problem)
            assert result.dtype == self.dtype, f"{case.title}: found {result.dtype}; expected {self.dtype}"
            self.compare([result.detach()], [expected], f"{case.title}: the sums and those of dense")

    def check_gradients_match_dense(self) -> None:
        """Gradients to fields, values, weights and parameters equal those of `dense`."""
        for case in self.evaluated():
            expected = derivatives(case, DenseEvaluator())
            actual = derivatives(case.to(self.dtype, self.device), self.evaluator)
            self.compare(actual, expected, f"{case.title}: the gradients and those of dense")

    def check_partial_gradients(self) -> None:
        """A gradient is the same if no other tensor requires one."""
        case = next(self.evaluated())
        expected = derivatives(case, DenseEvaluator())
        moved, numbers = case.to(self.dtype, self.device), range(len(expected))
        actual = [derivatives(moved, self.evaluator, number)[0] for number in numbers]
        self.compare(actual, expected, f"{case.title}: the gradients, each computed alone, and those of dense")

    def check_padding_invariance(self) -> None:
        """Key points of weight 0 change neither results nor gradients, whatever their terms and values."""
        for case in self.some():
            absent = (case.key.weights == 0).unsqueeze(-1)
            key, values = case.key, case.values
            other = Field(
                torch.where(absent, 1e3 * key.values + 1, key.values),
                torch.where(absent, -2 * key.positions, key.positions),
                key.weights,
            )
            changed = replace(case, key=other, values=torch.where(absent.unsqueeze(-1), 1e3 * values + 1, values))
            parameters = len(list(case.kernel.parameters()))
            one, two = (
                [self.evaluator(c.problem).detach(), *derivatives(c, self.evaluator)[-parameters:]]
                for c in (case, changed)
            )
            self.compare(two, one, f"{case.title}: the sums with other points of weight 0 and without")

    def check_empty_neighbourhood(self) -> None:
        """Where the support contains no key point, the result is 0 and gradients are finite."""
        for case in self.evaluated():
            if case.kernel.support.everywhere:
                continue
            case = case.to(self.dtype, self.device)
            axis = torch.arange(case.query.positions.shape[-1], device=self.device)
            far = case.query.positions - 100.0 * (axis == 0)  # before all keys, and far from them
            case = replace(case, query=Field(case.query.values, far, case.query.weights))
            result = self.evaluator(case.problem)
            assert not result.any(), (
                f"{case.title}: found {result.abs().max():.3g} for points without a pair; expected 0"
            )
            finite = all(bool(gradient.isfinite().all()) for gradient in derivatives(case, self.evaluator))
            assert finite, f"{case.title}: a gradient that is not finite, for points without a pair"

    def check_determinism(self) -> None:
        """Two calls with the same arguments give the same bits, gradients included."""
        for case in self.some():
            one, two = (derivatives(case, self.evaluator) for _ in range(2))
            same(two, one, f"{case.title}: gradients computed twice", exact=True)

    def check_arguments_unchanged(self) -> None:
        """The arguments are not modified."""
        for case in self.some():
            problem = case.problem
            points = (problem.query.positions, problem.query.weights, problem.key.positions, problem.key.weights)
            parameters = list(case.kernel.parameters())
            arguments = (problem.query_terms, problem.key_terms, problem.values, points, parameters)
            before = tree_map(lambda tensor: tensor.detach().clone(), arguments)
            torch.autograd.grad(linear(self.evaluator(problem)), parameters)
            same(arguments, before, f"{case.title}: the arguments before and after", exact=True)

    def check_stride_invariance(self) -> None:
        """Results do not depend on the strides of the arguments."""
        for case in self.some():

            def strided(tensor: Tensor) -> Tensor:
                turned = tensor.movedim(1, -1).contiguous().movedim(-1, 1)
                return torch.stack([turned, turned], -1)[..., 0]

            other = replace(case, layout=strided)
            actual, expected = (derivatives(c, self.evaluator) for c in (other, case))
            self.compare(actual, expected, f"{case.title}: the gradients with tensors of other strides and without")

    def check_second_derivatives(self) -> None:
        """Second derivatives equal those of `dense`, or raise an `ITNetError`."""
        case = next(self.evaluated())
        expected = second_derivative(case, DenseEvaluator())
        try:
            actual = second_derivative(case.to(self.dtype, self.device), self.evaluator)
        except ITNetError:
            return
        self.compare([actual], [expected], f"{case.title}: the second derivative and that of dense")

    def check_function_transforms(self) -> None:
        """Forward-mode derivatives and `torch.func` transforms are right, or raise an `ITNetError`."""
        for case in islice(self.evaluated(), 2):
            for name in ("values", "positions", "sums"):
                point = case.values if name == "sums" else getattr(case.key, name)
                exact = transforms(partial(_replaced, case, DenseEvaluator(), name), point)
                expected = [(title, right()) for title, _, right in exact]
                moved = case.to(self.dtype, self.device)
                actual = transforms(partial(_replaced, moved, self.evaluator, name), point.to(self.device, self.dtype))
                for (title, right), (_, transformed, _) in zip(expected, actual, strict=True):
                    try:
                        result = transformed()
                    except ITNetError:
                        continue
                    names = f"{case.title}: {title} of a function of the {name} and the derivative"
                    same(result, right, names, tolerance=1e-5 if self.dtype == torch.float64 else 2e-2)
                case.kernel.to("cpu", torch.float64)

    def check_unsupported_error(self) -> None:
        """Calling the evaluator with an unsupported case raises an `ITNetError`."""
        for case in self.cases():
            case = case.to(self.dtype, self.device)
            if self.evaluator.supports(case.problem):
                continue
            try:
                self.evaluator(case.problem)
            except ITNetError:
                continue
            raise AssertionError(f"{case.title}: supports() is False, but a call returns a result")

    @skip_unless(lambda case: case.device == "cpu" and case.dtype == torch.float64, "runs in float64 on the CPU alone")
    def check_compile(self) -> None:
        """Under `torch.compile`, graph breaks allowed, an operator gives the same result."""
        case = next(self.evaluated())
        torch.manual_seed(0)
        operator = IntegralOperator(8, case.kernel, evaluator=self.evaluator).double().eval()
        field = scattered(dim=8).to(torch.float64)
        expected = call(operator, field)
        torch.compiler.reset()
        same(call(torch.compile(operator, backend="aot_eager"), field), expected, "results when compiled")


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


def _replaced(case: Case, evaluator: Evaluator, name: str, tensor: Tensor) -> Tensor:
    """Return the evaluator's result with one tensor replaced: the values to sum, or one of the key field."""
    if name == "sums":
        return evaluator(replace(case, values=tensor).problem)
    other: Any = {name: tensor}
    return evaluator(replace(case, key=case.key.replace(**other)).problem)


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
    wanted = inputs if number is None else [inputs[number]]
    for tensor in inputs:
        tensor.requires_grad_(any(tensor is other for other in wanted))
    try:
        result = evaluator(case.problem)
        if not result.requires_grad:
            return [torch.zeros_like(tensor) for tensor in wanted]
        gradients = torch.autograd.grad(linear(result), wanted, allow_unused=True)
    finally:
        for parameter in case.kernel.parameters():
            parameter.requires_grad_()
    return [torch.zeros_like(x) if g is None else g.detach() for x, g in zip(wanted, gradients, strict=True)]


def second_derivative(case: Case, evaluator: Callable[..., Tensor]) -> Tensor:
    """Return the gradient to the values of the squared gradient to the weights."""
    case, inputs = with_gradients(case)
    values, weights = inputs[4], inputs[5]
    [first] = torch.autograd.grad(linear(evaluator(case.problem)), weights, create_graph=True)
    [second] = torch.autograd.grad(first.square().sum(), values, allow_unused=True)
    return torch.zeros_like(values) if second is None else second
