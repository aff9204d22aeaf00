"""What the kit checks of kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn

from itnet_core import (
    AutoEvaluator,
    ConfigError,
    DenseEvaluator,
    Evaluator,
    Field,
    IntegralOperator,
    ITNetError,
    Kernel,
    Points,
    TiledEvaluator,
)
from itnet_core.plugin.specs import Kind
from itnet_testing.conformance import ModuleConformance, due_when, same
from itnet_testing.derivatives import transforms
from itnet_testing.fields import on_a_line, on_an_image, permuted, sample, scattered, with_padding

WEIGHTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "any weights": lambda weights: weights,
    "equal weights": torch.ones_like,
    "equal weights and padding": lambda weights: (
        (torch.arange(weights.shape[1]) % 3 != 1).to(weights).expand_as(weights)
    ),
}
"""Those that gradients are asked for."""

SUPPORTS: tuple[Mapping[str, Any], ...] = (
    {},
    {"causal": "t"},
    {"radius": 0.9},
    {"window": 0.8},
    {"causal": "t", "radius": 0.9},
    {"causal": "t", "radius": 0.9, "window": 0.8, "edge": 0.3},
)
"""Those that are tried, of a kernel whose options have a `support`."""


class KernelConformance(ModuleConformance):
    """Checks of a kernel; override `field` where it needs other points, a grid for one."""

    kind: ClassVar[Kind] = "kernel"

    def field(self, seed: int = 0) -> Field:
        """Return a field of at least two samples for the kernel, of `dim` channels."""
        return scattered(dim=self.dim, seed=seed)

    def module(self, **options: Any) -> nn.Module:
        """Return an operator with the kernel, which takes the kernel's shortcut or sums over all pairs."""
        return IntegralOperator(self.dim, self.kernel(**options))

    def kernel(self, **options: Any) -> Kernel:
        """Return a new kernel."""
        found: Kernel = self.cls(self.dim, **{**self.settings, **options})
        return found

    def inputs(self) -> Field:
        """Return `field()`."""
        return self.field()

    def variants(self) -> Iterator[tuple[str, Kernel]]:
        """Yield the kernel with every normalisation and support that its options have and that it does not refuse."""
        fields = self.cls.Config.model_fields
        normalizations = get_args(fields["normalization"].annotation) if "normalization" in fields else (None,)
        for normalization in normalizations:
            for support in SUPPORTS if "support" in fields else (None,):
                chosen = {"normalization": normalization, "support": support}
                options = {name: value for name, value in chosen.items() if value is not None}
                try:
                    torch.manual_seed(0)
                    kernel = self.kernel(**options)
                except ConfigError:
                    continue
                yield f"with {options}", kernel.double().eval()

    def check_some_variant_is_there(self) -> None:
        """It does not refuse every normalisation and support that its options have."""
        assert list(self.variants()), "every normalisation and support that its options have is refused"

    def check_tile_gives_blocks(self) -> None:
        """`tile` on some of the points gives the block of what it gives on all, of shape (B, heads, n, m)."""
        for title, kernel in self.variants():
            query, key = self.points(kernel)
            whole = kernel.tile(query.terms, key.terms)
            n, m = query.positions.shape[1], key.positions.shape[1]
            expected = (len(query.positions), kernel.heads, n, m)
            assert whole.shape == expected, f"{title}: tile gives {tuple(whole.shape)}; expected {expected}"
            for rows, columns in ((slice(0, 1), slice(0, m)), (slice(n // 2, n), slice(1, 2)), (slice(1, n), slice(2))):
                block = kernel.tile(query.narrow(rows).terms, key.narrow(columns).terms)
                same(block, whole[:, :, rows, columns], f"{title}: the block {rows}, {columns} and tile there", **EXACT)

    def check_evaluators_agree(self) -> None:
        """Tile by tile, it sums to the same as over all pairs at once, gradients too."""
        tiled = TiledEvaluator(query_tile=3, key_tile=4)
        for title, kernel in self.variants():
            same(
                self.sum(kernel, tiled),
                self.sum(kernel, DenseEvaluator()),
                f"{title}: sums by tiles and at once",
                **EXACT,
            )

    @due_when(lambda case: case.cls.shortcut)
    def check_shortcut_is_exact(self) -> None:
        """`integrate` is the sum over all pairs, gradients too, for every variant that it applies to."""
        applied = 0
        for title, kernel in self.variants():
            for make in self.fields(kernel):
                query, key = self.points(kernel, make)
                if not kernel.integrates(query, key):
                    continue
                applied += 1
                short = self.sum(kernel, lambda kernel, *points: kernel.integrate(*points), make)
                pairs = self.sum(kernel, DenseEvaluator(), make)
                same(short, pairs, f"{title}: integrate and the sum over all pairs", **EXACT)
        assert applied, f"{self.cls.__name__}.shortcut is True, but integrates() is False for the fields of the checks"

    @due_when(lambda case: not case.cls.shortcut)
    def check_no_shortcut_is_taken_undeclared(self) -> None:
        """`integrates` is `False` where the class does not declare `shortcut`."""
        for title, kernel in self.variants():
            assert not kernel.integrates(*self.points(kernel)), (
                f"{title}: integrates() is True; declare shortcut = True"
            )

    @due_when(lambda case: case.cls.shortcut or case.cls.whole)
    def check_gradient_reaches_the_weights(self) -> None:
        """Gradients to weights, equal ones and those of padding too, are those of the sum over all pairs."""
        for title, kernel in self.variants():
            for make in self.fields(kernel):
                for name, change in WEIGHTS.items():
                    key = make(1).to(torch.float64)
                    weights = change(key.weights).clone().requires_grad_()
                    query = Field(make(0).values.double(), key.positions, weights.detach(), grid=key.grid)
                    key = Field(key.values, key.positions, weights, grid=key.grid)
                    operator = self.operator(kernel, DenseEvaluator())
                    sides = sides_of(kernel, query, key)
                    values = operator.value(key.values).detach()
                    pairs = DenseEvaluator()(kernel, *sides, values)
                    ways = {"transform": kernel.transform(query, key, operator.value, operator.output)}
                    if kernel.integrates(*sides):
                        ways["integrate"] = kernel.integrate(*sides, values)
                    for way, result in ways.items():
                        if result is None:
                            continue
                        found = gradients(result, [weights])
                        expected = gradients(pairs if way == "integrate" else operator.output(pairs), [weights])
                        what = f"{title}, {name}: the gradient to weights through {way} and the sum over all pairs"
                        same(found, expected, what, **EXACT)

    def check_transforms_are_not_wrong(self) -> None:
        """Forward-mode derivatives and transforms of `torch.func` give what is right, or an `ITNetError`."""
        title, kernel = next(self.variants())
        for make in self.fields(kernel):
            field = make(0).to(torch.float64)
            for evaluator in (DenseEvaluator(), AutoEvaluator()):
                operator = self.operator(kernel, evaluator)
                function = partial(_values, operator, field)
                for name, transformed, expected in transforms(function, field.values):
                    try:
                        found = transformed()
                    except ITNetError:
                        continue
                    same(found, expected(), f"{title}: {name} and the derivative", tolerance=1e-5)

    def check_order_of_points_is_nothing(self) -> None:
        """Points in another order give the same results, in that order."""
        field = self.field().to(torch.float64)
        order = torch.randperm(field.values.shape[1], generator=torch.Generator().manual_seed(0))
        for title, operator in self.operators():
            found = operator(permuted(field, order)).values
            same(found, operator(field).values[:, order], f"{title}: results in another order", **EXACT)

    def check_positions_are_read_as_declared(self) -> None:
        """`reads_positions` says whether k changes where values stay and positions along a line or a plane change."""
        for axes, make in (("t", on_a_line), ("xy", on_an_image)):
            field = make(0, self.dim)
            order = torch.randperm(field.values.shape[1], generator=torch.Generator().manual_seed(0))
            sides = [Field(field.values, positions) for positions in (field.positions, field.positions[:, order])]
            for title, kernel in self.variants():
                try:
                    declared = self.cls.reads_positions(kernel.config, axes)
                    first, second = (kernel.tile(*kernel.project(side, side)) for side in sides)
                except ITNetError:  # other coordinates, or axes that are not the kernel's
                    continue
                found = not torch.allclose(first, second, rtol=1e-9, atol=1e-9)
                told = f"reads_positions is {declared}, and k {'changes' if found else 'stays'}"
                assert found == declared, f"{title}: {told} where positions along {axes} change"

    def check_weight_zero_is_absence(self) -> None:
        """Points of weight 0 change nothing, whatever their values."""
        field = self.field().to(torch.float64)
        for title, operator in self.operators():
            n = field.values.shape[1]
            found = operator(with_padding(field)).values[:, :n]
            same(found, operator(field).values, f"{title}: results with and without points of weight 0", **EXACT)

    def check_empty_neighbourhood_is_zero(self) -> None:
        """Where no point has weight the integral is 0, not NaN."""
        for title, kernel in self.variants():
            query, key = self.points(kernel)
            key = key._replace(weights=torch.zeros_like(key.weights))
            values = self.values(kernel, key)
            found = DenseEvaluator()(kernel, query, key, values)
            same(found, torch.zeros_like(found), f"{title}: the integral over nothing, and 0,", exact=True)
            if kernel.integrates(query, key):
                found = kernel.integrate(query, key, values)
                same(found, torch.zeros_like(found), f"{title}: integrate over nothing, and 0,", exact=True)

    def check_samples_are_independent(self) -> None:
        """A sample's result is the same alone."""
        field = self.field().to(torch.float64)
        for title, operator in self.operators():
            whole = operator(field).values
            for number in range(len(field.values)):
                found = operator(sample(field, number)).values[0]
                same(found, whole[number], f"{title}: results of sample {number} alone and in a batch", **EXACT)

    @due_when(lambda case: case.cls.whole)
    def check_whole_is_exact(self) -> None:
        """`transform` gives what the sum over all pairs does, gradients too, for every variant that it applies to."""
        applied = 0
        for title, kernel in self.variants():
            for make in self.fields(kernel):
                field = make(0).to(torch.float64)
                fast, slow = (self.operator(kernel, evaluator) for evaluator in (AutoEvaluator(), DenseEvaluator()))
                if kernel.transform(field, field, fast.value, fast.output) is None:
                    continue
                applied += 1
                found, expected = transformed(fast, field), transformed(slow, field)
                same(found, expected, f"{title}: transform and the sum over all pairs", **EXACT)
        assert applied, f"{self.cls.__name__}.whole is True, but transform() is None for the fields of the checks"

    @due_when(
        lambda case: case.cls.streaming and any(kernel.support.causal is not None for _, kernel in case.variants())
    )
    def check_steps_give_the_whole(self) -> None:
        """`step`, one point at a time in the order of time, gives what the whole field does, for causal variants."""
        for title, kernel in self.variants():
            if kernel.support.causal is None:
                continue
            operator = self.operator(kernel, DenseEvaluator())
            field = self.field().to(torch.float64)
            axis = kernel.support.causal_axis(field.positions.shape[-1])
            for number in range(len(field.values)):
                one = sample(field, number)
                one = permuted(one, one.positions[0, :, axis].argsort())
                state, steps = None, []
                for point in range(one.values.shape[1]):
                    state, out = operator.step(state, permuted(one, torch.tensor([point])))
                    steps.append(out.values)
                same(torch.cat(steps, dim=1), operator(one).values, f"{title}: steps and the whole", **EXACT)

    def operators(self) -> Iterator[tuple[str, IntegralOperator]]:
        """Yield, for each variant, an operator that sums over all pairs, and one that takes shortcuts if there are."""
        for title, kernel in self.variants():
            yield title, self.operator(kernel, DenseEvaluator())
            if self.cls.shortcut or self.cls.whole:
                yield f"{title}, by shortcuts", self.operator(kernel, AutoEvaluator())

    def operator(self, kernel: Kernel, evaluator: Evaluator) -> IntegralOperator:
        """Return an operator in float64 with weights that are always the same."""
        torch.manual_seed(0)
        return IntegralOperator(self.dim, kernel, evaluator=evaluator).double().eval()

    def fields(self, kernel: Kernel) -> Iterator[Callable[[int], Field]]:
        """Yield `field` and, unless the kernel refuses them, fields on a line and on an image, for its shortcuts."""
        yield self.field
        for make in (partial(on_a_line, dim=self.dim), partial(on_an_image, dim=self.dim)):
            try:
                kernel.project(make(0).to(torch.float64), make(1).to(torch.float64))
            except ITNetError:
                continue
            yield make

    def points(self, kernel: Kernel, make: Callable[[int], Field] | None = None) -> tuple[Points, Points]:
        """Return both sides of the pairs: those of one field with those of another of the same grid."""
        query, key = ((make or self.field)(seed).to(torch.float64) for seed in (0, 1))
        query = Field(query.values, key.positions, key.weights, grid=key.grid)
        return sides_of(kernel, query, key)

    def values(self, kernel: Kernel, key: Points) -> Tensor:
        """Return values to integrate, (B, M, heads, 3)."""
        shape = (*key.weights.shape, kernel.heads, 3)
        return torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()

    def sum(
        self,
        kernel: Kernel,
        evaluate: Callable[[Kernel, Points, Points, Tensor], Tensor],
        make: Callable[[int], Field] | None = None,
    ) -> list[Tensor]:
        """Return the sums over pairs, and the gradients of a function of them to values and weights, 0 for none."""
        query, key = self.points(kernel, make)
        values = self.values(kernel, key)
        result = evaluate(kernel, query, key, values)
        return [result.detach(), *gradients(result, [values, *kernel.parameters()])]


def sides_of(kernel: Kernel, query: Field, key: Field) -> tuple[Points, Points]:
    """Return both sides of the pairs."""
    first, second = (
        Points(terms, field.positions, field.weights, field.grid)
        for terms, field in zip(kernel.project(query, key), (query, key), strict=True)
    )
    return first, second


def _values(operator: IntegralOperator, field: Field, values: Tensor) -> Tensor:
    return operator(field.with_values(values)).values


def transformed(operator: IntegralOperator, field: Field) -> list[Tensor]:
    """Return the operator's result for a field, and the gradients of a function of it to values and weights."""
    values = field.values.clone().requires_grad_()
    result = operator(field.with_values(values)).values
    return [result.detach(), *gradients(result, [values, *operator.parameters()])]


def gradients(result: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """Return the gradients of a fixed linear function of `result`, 0 where it does not depend on an input."""
    target = result.flatten() @ torch.linspace(-1, 1, result.numel(), dtype=result.dtype)
    found = torch.autograd.grad(target, inputs, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(each) if g is None else g for each, g in zip(inputs, found, strict=True)]


EXACT: dict[str, Any] = {"tolerance": 1e-9}
