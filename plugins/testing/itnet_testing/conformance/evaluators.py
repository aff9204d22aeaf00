"""Checks of evaluators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from itertools import cycle, islice
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from itnet_core import (
    ACTIVATIONS,
    DenseEvaluator,
    Evaluator,
    Field,
    IntegralOperator,
    ITNetError,
    Kernel,
    Kind,
    MLPKernel,
)
from itnet_testing.conformance.base import Conformance, skip_unless
from itnet_testing.conformance.kernels import SUPPORTS
from itnet_testing.conformance.problems import (
    Case,
    Distance,
    Doubled,
    derivatives,
    linear,
    second_derivative,
    with_tensor,
)
from itnet_testing.conformance.tensors import assert_same, call
from itnet_testing.derivatives import transforms
from itnet_testing.fields import scattered

ADDITIVE = ("query", "key", "displacement")
"""Inputs of an MLP kernel whose first layer is additive, a(x) + b(y)."""

SIZES = ((2, 7, 11), (1, 1, 1), (3, 1, 5), (1, 37, 70), (2, 20, 3))
"""Batch size, query points and key points of the cases."""

HEAD_DIMS = (3, 8, 1)


class EvaluatorConformance(Conformance):
    """Test class for an evaluator, which is compared with `dense` in float64.

    Its result must be right wherever it supports a problem; elsewhere it must raise. Override `kernels` for an
    evaluator of special kernels.

    Example:
        >>> class TestTiled(EvaluatorConformance):
        ...     component = "itnet-core/tiled"
        ...     options = {"query_tile": 16, "key_tile": 32}
        >>> [outcome.status for outcome in TestTiled().run("values_match_dense", "gradients_match_dense")]
        ['passed', 'passed']

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
        yield "bilinear MLP", partial(mlp, inputs=("bilinear", "displacement", "fourier"))
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
            allowed = bound * other.abs().max().clamp(min=0.01 * largest)  # rounding errors have no scale
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

    def check_shared_values(self) -> None:
        """Values that all heads share, (B, M, 1, head_dim), give the same results and gradients as in `dense`."""
        for case in self.some():
            shared = replace(case, values=case.values[:, :, :1])
            moved = shared.to(self.dtype, self.device)
            actual = [self.evaluator(moved.problem).detach(), *derivatives(moved, self.evaluator)]
            shared = shared.to(torch.float64, "cpu")
            expected = [DenseEvaluator()(shared.problem).detach(), *derivatives(shared, DenseEvaluator())]
            self.compare(actual, expected, f"{case.title}: the sums of values that all heads share and those of dense")

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
            assert_same(two, one, f"{case.title}: gradients computed twice", exact=True)

    def check_arguments_unchanged(self) -> None:
        """The arguments are not modified."""
        for case in self.some():
            problem = case.problem
            points = (problem.query.positions, problem.query.weights, problem.key.positions, problem.key.weights)
            parameters = list(case.kernel.parameters())
            arguments = (problem.query_terms, problem.key_terms, problem.values, points, parameters)
            before = tree_map(lambda tensor: tensor.detach().clone(), arguments)
            torch.autograd.grad(linear(self.evaluator(problem)), parameters)
            assert_same(arguments, before, f"{case.title}: the arguments before and after", exact=True)

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
                exact = transforms(partial(with_tensor, case, DenseEvaluator(), name), point)
                expected = [(title, right()) for title, _, right in exact]
                moved = case.to(self.dtype, self.device)
                actual = transforms(
                    partial(with_tensor, moved, self.evaluator, name), point.to(self.device, self.dtype)
                )
                for (title, right), (_, transformed, _) in zip(expected, actual, strict=True):
                    try:
                        result = transformed()
                    except ITNetError:
                        continue
                    names = f"{case.title}: {title} of a function of the {name} and the derivative"
                    assert_same(result, right, names, tolerance=1e-5 if self.dtype == torch.float64 else 2e-2)
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

    @skip_unless(lambda case: case.device == "cpu" and case.dtype == torch.float64, "runs only in float64 on the CPU")
    def check_compile(self) -> None:
        """Under `torch.compile`, graph breaks allowed, an operator gives the same result."""
        case = next(self.evaluated())
        torch.manual_seed(0)
        operator = IntegralOperator(8, case.kernel, evaluator=self.evaluator).double().eval()
        field = scattered(dim=8).to(torch.float64)
        expected = call(operator, field)
        torch.compiler.reset()
        assert_same(call(torch.compile(operator, backend="aot_eager"), field), expected, "results when compiled")
