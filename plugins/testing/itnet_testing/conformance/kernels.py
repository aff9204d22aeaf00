"""Checks of kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn

from itnet_core import (
    AutoEvaluator,
    ConfigError,
    DenseEvaluator,
    Evaluator,
    FastPath,
    Field,
    IntegralOperator,
    ITNetError,
    Kernel,
    Kind,
    Points,
    Problem,
    ScalarConfig,
    Support,
    TiledEvaluator,
)
from itnet_testing.conformance.base import skip_unless
from itnet_testing.conformance.modules import ModuleConformance
from itnet_testing.conformance.results import by_matrix, gradients, matrix_valued, transformed, values_of
from itnet_testing.conformance.tensors import assert_same
from itnet_testing.derivatives import transforms
from itnet_testing.fields import on_a_line, on_an_image, permuted, sample, scattered, with_padding, with_read

WEIGHTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "any weights": lambda weights: weights,
    "equal weights": torch.ones_like,
    "equal weights and padding": lambda weights: (
        (torch.arange(weights.shape[1]) % 3 != 1).to(weights).expand_as(weights)
    ),
}
"""Changes of the weights for which gradients are compared."""

SUPPORTS: tuple[Mapping[str, Any], ...] = (
    {},
    {"causal": "t"},
    {"radius": 0.9},
    {"window": 0.8},
    {"causal": "t", "radius": 0.9},
    {"causal": "t", "radius": 0.9, "window": 0.8, "edge": 0.3},
)
"""Supports that are tried if the kernel has the option `support`."""


class KernelConformance(ModuleConformance):
    """Test class for a kernel; override `field` if it needs other points, such as a grid.

    Example:
        >>> class TestGaussian(KernelConformance):
        ...     component = "itnet-kernels/gaussian"
        ...     options = {"heads": 2}
        >>> [outcome.status for outcome in TestGaussian().run("tile_consistency", "padding_invariance")]
        ['passed', 'passed']
    """

    kind: ClassVar[Kind] = "kernel"

    def field(self, seed: int = 0) -> Field:
        """Return a field of at least two samples, of `dim` channels, with the attributes that the kernel reads."""
        return with_read(scattered(dim=self.dim, seed=seed), self.cls)

    def module(self, **options: Any) -> nn.Module:
        """Return an operator with the kernel and the default evaluator."""
        return IntegralOperator(self.dim, self.kernel(**options))

    def kernel(self, **options: Any) -> Kernel:
        """Return a new kernel."""
        kernel: Kernel = self.cls(self.dim, **{**self.settings, **options})
        return kernel

    def inputs(self) -> Field:
        """Return `field()`."""
        return self.field()

    def variants(self, **others: Any) -> Iterator[tuple[str, Kernel]]:
        """Yield the kernel with other options, in every combination of normalisation and support that it accepts."""
        fields = self.cls.Config.model_fields
        normalizations = get_args(fields["normalization"].annotation) if "normalization" in fields else (None,)
        supports = SUPPORTS if "support" in fields else (None,)
        chosen: list[Mapping[str, Any]] = [
            {name: value for name, value in {"normalization": n, "support": s}.items() if value is not None}
            for n, s in product(normalizations, supports)
        ]
        if self.cls.fast_path_options:
            chosen.append(self.cls.fast_path_options)
        for options in chosen:
            try:
                torch.manual_seed(0)
                kernel = self.kernel(**others, **options)
            except ConfigError:
                continue
            yield f"with { {**others, **options} }", kernel.double().eval()

    def variants_of_values(self) -> Iterator[tuple[str, Kernel]]:
        """Yield the variants, and those with `full` values if the kernel has this option."""
        yield from self.variants()
        if issubclass(self.cls.Config, ScalarConfig):
            yield from self.variants(values="full")

    def plain_variants(self) -> Iterator[tuple[str, Kernel]]:
        """Yield `variants()`, and for a sum of integrals the kernel of each, which evaluators get."""
        for title, kernel in self.variants():
            for part in kernel.summands:
                yield title if part is kernel else f"{type(part).__name__} {title}", part

    def check_supported_variants(self) -> None:
        """The kernel accepts some combination of its normalisations and supports."""
        assert list(self.variants()), "every combination of normalisation and support is refused"

    def check_tile_consistency(self) -> None:
        """`tile` on some points is a block of `tile` on all points, of shape (B, heads, n, m)."""
        for title, kernel in self.plain_variants():
            problem = self.problem(kernel)
            whole = kernel.tile(problem.query_terms, problem.key_terms)
            batch, n, m = problem.shape
            expected = (batch, kernel.heads, n, m)
            assert whole.shape == expected, f"{title}: tile gives {tuple(whole.shape)}; expected {expected}"
            for rows, columns in ((slice(0, 1), slice(0, m)), (slice(n // 2, n), slice(1, 2)), (slice(1, n), slice(2))):
                part = problem.narrow(rows, columns)
                block = kernel.tile(part.query_terms, part.key_terms)
                assert_same(
                    block, whole[:, :, rows, columns], f"{title}: the block {rows}, {columns} and its tile", **EXACT
                )

    def check_tiled_sum(self) -> None:
        """The sum tile by tile equals the sum over all pairs at once, with its gradients."""
        tiled = TiledEvaluator(query_tile=3, key_tile=4)
        for title, kernel in self.plain_variants():
            assert_same(
                self.sum(kernel, tiled),
                self.sum(kernel, DenseEvaluator()),
                f"{title}: sums by tiles and at once",
                **EXACT,
            )

    def check_matrix(self) -> None:
        """`IntegralOperator.matrix` holds the weights of the sum; its rows at chosen query points are the same."""
        for title, kernel in self.variants_of_values():
            operator, field = self.operator(kernel, DenseEvaluator()), self.field().to(torch.float64)
            expected = transformed(operator, field)
            assert_same(by_matrix(operator, field), expected, f"{title}: the sum by the matrix", **EXACT)
            chosen = torch.arange(field.values.shape[1])[1::3].flip(0)
            for normalized in (True, False):
                whole = operator.matrix(field, normalized=normalized)[:, :, chosen]
                rows = operator.matrix(field, queries=chosen, normalized=normalized)
                assert_same(rows, whole, f"{title}: rows at chosen query points and of all", **EXACT)

    @skip_unless(lambda case: issubclass(case.cls.Config, ScalarConfig), "the kernel has no option `values`")
    def check_full_values(self) -> None:
        """With `values: full` every evaluator and fast path computes Σ_h ∫ k_h M_h u dμ, with its gradients."""
        ways = DenseEvaluator(), TiledEvaluator(query_tile=3, key_tile=4), AutoEvaluator()
        for title, kernel in self.variants(values="full"):
            for make in self.fields(kernel):
                field = make(0).to(torch.float64)
                expected = matrix_valued(self.operator(kernel, DenseEvaluator()), field)
                for evaluator in ways:
                    actual = transformed(self.operator(kernel, evaluator), field)
                    names = f"{title}: {type(evaluator).__name__} and the sum of matrices times scalar kernels"
                    assert_same(actual, expected, names, **EXACT)

    @skip_unless(lambda case: case.has("integrate"), "the kernel has no integrate()")
    def check_integrate_exactness(self) -> None:
        """`integrate` equals the sum over all pairs, with its gradients, wherever it applies."""
        applied = 0
        for title, kernel in self.plain_variants():
            for make in self.fields(kernel):
                if not (kernel.offers("integrate") and kernel.can_integrate(self.problem(kernel, make))):
                    continue
                applied += 1
                short = self.sum(kernel, kernel.integrate, make)
                pairs = self.sum(kernel, DenseEvaluator(), make)
                assert_same(short, pairs, f"{title}: integrate and the sum over all pairs", **EXACT)
        assert applied, f"{self.cls.__name__}.can_integrate is False for all fields of the checks"

    @skip_unless(
        lambda case: case.has("integrate") or case.has("transform"), "the kernel has no fast path over all points"
    )
    def check_weight_gradients(self) -> None:
        """Gradients to the weights through fast paths equal those through the sum over all pairs."""
        for title, kernel in self.plain_variants():
            for make in self.fields(kernel):
                for name, change in WEIGHTS.items():
                    key = make(1).to(torch.float64)
                    weights = change(key.weights).clone().requires_grad_()
                    query = key.replace(values=make(0).values.double(), weights=weights.detach())
                    key = key.replace(weights=weights)
                    operator = self.operator(kernel, DenseEvaluator())
                    problem = kernel.problem(query, key, operator.value(key.values).detach())
                    pairs = DenseEvaluator()(problem)
                    ways: dict[str, Tensor] = {}
                    if kernel.offers("transform") and kernel.can_transform(query, key):
                        ways["transform"] = kernel.transform(query, key, operator.value, operator.output)
                    if kernel.offers("integrate") and kernel.can_integrate(problem):
                        ways["integrate"] = kernel.integrate(problem)
                    for way, result in ways.items():
                        actual = gradients(result, [weights])
                        expected = gradients(pairs if way == "integrate" else operator.output(pairs), [weights])
                        names = f"{title}, {name}: the gradient to weights through {way} and the sum over all pairs"
                        assert_same(actual, expected, names, **EXACT)

    def check_function_transforms(self) -> None:
        """Forward-mode derivatives and `torch.func` transforms are right, or raise an `ITNetError`."""
        title, kernel = next(self.variants())
        for make in self.fields(kernel):
            field = make(0).to(torch.float64)
            for evaluator in (DenseEvaluator(), AutoEvaluator()):
                operator = self.operator(kernel, evaluator)
                function = partial(values_of, operator, field)
                for name, derived, expected in transforms(function, field.values):
                    try:
                        actual = derived()
                    except ITNetError:
                        continue
                    assert_same(actual, expected(), f"{title}: {name} and the derivative", tolerance=1e-5)

    def check_permutation_equivariance(self) -> None:
        """Permuting the points permutes the results."""
        field = self.field().to(torch.float64)
        order = torch.randperm(field.values.shape[1], generator=torch.Generator().manual_seed(0))
        for title, operator in self.operators():
            actual = operator(permuted(field, order)).values
            assert_same(actual, operator(field).values[:, order], f"{title}: results in another order", **EXACT)

    def check_declared_positions(self) -> None:
        """`reads_positions` states whether k depends on positions along a line and in a plane."""
        for axes, make in (("t", on_a_line), ("xy", on_an_image)):
            field = make(0, self.dim)
            order = torch.randperm(field.values.shape[1], generator=torch.Generator().manual_seed(0))
            sides = [
                with_read(Field(field.values, positions), self.cls)
                for positions in (field.positions, field.positions[:, order])
            ]
            for title, kernel in self.variants():
                try:
                    declared = self.cls.reads_positions(kernel.config, axes)
                    first, second = (kernel.tile(*kernel.project(side, side)) for side in sides)
                except ITNetError:  # other coordinates, or axes that are not the kernel's
                    continue
                changes = not torch.allclose(first, second, rtol=1e-9, atol=1e-9)
                difference = f"reads_positions is {declared}, and k {'changes' if changes else 'stays'}"
                assert changes == declared, f"{title}: {difference} where positions along {axes} change"

    def check_padding_invariance(self) -> None:
        """Points of weight 0 do not change the results, whatever their values."""
        field = self.field().to(torch.float64)
        for title, operator in self.operators():
            n = field.values.shape[1]
            actual = operator(with_padding(field)).values[:, :n]
            assert_same(
                actual, operator(field).values, f"{title}: results with and without points of weight 0", **EXACT
            )

    def check_empty_neighbourhood(self) -> None:
        """The integral is 0, not NaN, where all weights are 0."""
        for title, kernel in self.plain_variants():
            problem = self.problem(kernel)
            empty = Points(problem.key.positions, torch.zeros_like(problem.key.weights), problem.key.grid)
            problem = replace(problem, key=empty)
            actual = DenseEvaluator()(problem)
            assert_same(actual, torch.zeros_like(actual), f"{title}: the integral over nothing, and 0,", exact=True)
            if kernel.offers("integrate") and kernel.can_integrate(problem):
                actual = kernel.integrate(problem)
                assert_same(actual, torch.zeros_like(actual), f"{title}: integrate over nothing, and 0,", exact=True)

    def check_batch_independence(self) -> None:
        """A sample has the same result alone as in a batch."""
        field = self.field().to(torch.float64)
        for title, operator in self.operators():
            whole = operator(field).values
            for number in range(len(field.values)):
                actual = operator(sample(field, number)).values[0]
                assert_same(actual, whole[number], f"{title}: results of sample {number} alone and in a batch", **EXACT)

    @skip_unless(lambda case: case.has("transform"), "the kernel has no transform()")
    def check_transform_exactness(self) -> None:
        """`transform` equals the sum over all pairs, with its gradients, wherever it applies."""
        applied = 0
        for title, kernel in self.variants_of_values():
            for make in self.fields(kernel):
                field = make(0).to(torch.float64)
                fast, slow = (self.operator(kernel, evaluator) for evaluator in (AutoEvaluator(), DenseEvaluator()))
                if not kernel.can_transform(field, field):
                    continue
                applied += 1
                actual, expected = transformed(fast, field), transformed(slow, field)
                assert_same(actual, expected, f"{title}: transform and the sum over all pairs", **EXACT)
        assert applied, f"{self.cls.__name__}.can_transform is False for all fields of the checks"

    @skip_unless(
        lambda case: any(causal_axes(kernel) for _, kernel in case.variants()), "no variant of the kernel is causal"
    )
    def check_step_exactness(self) -> None:
        """The operator's `step`, one point at a time in the order of time, equals the operator on the whole field."""
        for title, kernel in self.variants_of_values():
            axes = causal_axes(kernel)
            if len(axes) != 1:
                continue
            operator = self.operator(kernel, DenseEvaluator())
            field = self.field().to(torch.float64)
            axis = Support(causal=axes.pop()).causal_axis(field.positions.shape[-1])
            for number in range(len(field.values)):
                stream = sample(field, number)
                stream = permuted(stream, stream.positions[0, :, axis].argsort())
                state, steps = None, []
                for point in range(stream.values.shape[1]):
                    state, out = operator.step(state, permuted(stream, torch.tensor([point])))
                    steps.append(out.values)
                assert_same(torch.cat(steps, dim=1), operator(stream).values, f"{title}: steps and one call", **EXACT)

    def operators(self) -> Iterator[tuple[str, IntegralOperator]]:
        """Yield for each variant an operator that sums over all pairs, and one that uses the fast paths, if any."""
        for title, kernel in self.variants():
            yield title, self.operator(kernel, DenseEvaluator())
            if self.has("integrate") or self.has("transform"):
                yield f"{title}, by fast paths", self.operator(kernel, AutoEvaluator())

    def operator(self, kernel: Kernel, evaluator: Evaluator) -> IntegralOperator:
        """Return an operator in float64 with fixed weights."""
        torch.manual_seed(0)
        return IntegralOperator(self.dim, kernel, evaluator=evaluator).double().eval()

    def fields(self, kernel: Kernel) -> Iterator[Callable[[int], Field]]:
        """Yield `field` and, unless the kernel refuses them, fields on a line and on an image grid."""
        yield self.field
        for make in (partial(on_a_line, dim=self.dim), partial(on_an_image, dim=self.dim)):
            try:
                kernel.project(make(0).to(torch.float64), make(1).to(torch.float64))
            except ITNetError:
                continue
            yield make

    def has(self, path: FastPath) -> bool:
        """Whether the kernel, or a kernel in it, has a fast path."""
        _, kernel = next(self.variants())
        return any(part.offers(path) for part in kernel.summands)

    def problem(self, kernel: Kernel, make: Callable[[int], Field] | None = None) -> Problem:
        """Return the integral of random values, (B, M, heads, 3), for two fields of the same points."""
        query, key = ((make or self.field)(seed).to(torch.float64) for seed in (0, 1))
        query = key.with_values(query.values)
        shape, generator = (*key.weights.shape, kernel.heads, 3), torch.Generator().manual_seed(2)
        values = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        return kernel.problem(query, key, values)

    def sum(
        self,
        kernel: Kernel,
        evaluate: Callable[[Problem], Tensor],
        make: Callable[[int], Field] | None = None,
    ) -> list[Tensor]:
        """Return the sums over pairs, and the gradients of a function of them to values and parameters."""
        problem = self.problem(kernel, make)
        result = evaluate(problem)
        return [result.detach(), *gradients(result, [problem.values, *kernel.parameters()])]


def causal_axes(kernel: Kernel) -> set[str | int]:
    """Return the causal axes of the kernel's integrals if all of them are causal, else none."""
    axes = {part.support.causal for part in kernel.summands}
    return set() if None in axes else {axis for axis in axes if axis is not None}


EXACT: dict[str, Any] = {"tolerance": 1e-9}
