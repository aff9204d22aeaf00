"""Comparison of a converted model with its original: outputs and gradients, by fast paths and by pairs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from conversion_libraries import Example
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from itnet_core import IntegralOperator, Problem, TiledEvaluator
from itnet_kernels import ConversionReport, convert_model

SECONDS_OF_PAIRS = 150


@dataclass(frozen=True)
class Measured:
    """The floating outputs of a model, and the gradients of one random projection of all of them.

    Attributes:
        outputs: the outputs.
        gradients: the gradient of each parameter and of each input, by its name; `None` if nothing depends on it.
    """

    outputs: list[Tensor]
    gradients: Mapping[str, Tensor | None]


@dataclass(frozen=True)
class Comparison:
    """A conversion's report, and the differences of the model before and after it.

    Attributes:
        report: the report.
        silent: the classes of converted layers that ran, and summed nothing, when all operators sum over all pairs.
        outputs: the differences of outputs by fast paths and by pairs; `None` if these are too many for the memory or
            the time.
        gradients: the same of gradients; `None` as well if the original has none.
    """

    report: ConversionReport
    silent: set[str]
    outputs: tuple[float, float | None]
    gradients: tuple[float | None, float | None]

    @property
    def largest(self) -> float:
        """The largest of all differences."""
        return max(item or 0.0 for item in (*self.outputs, *self.gradients))


def outputs(model: nn.Module, example: Example) -> list[Tensor]:
    """Return a model's outputs of floating numbers."""
    torch.manual_seed(0)
    found = model(**example) if isinstance(example, dict) else model(*example)
    leaves = tree_leaves(dict(found) if isinstance(found, Mapping) else found)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def measure(model: nn.Module, example: Example, differentiable: bool = True) -> Measured:
    """Return a model's outputs, and their gradients if it is differentiable."""
    model.eval()  # clears what earlier calls without gradients have cached, such as timm's attention biases
    if not differentiable:
        with torch.no_grad():
            return Measured(outputs(model, example), {})
    watched: dict[str, Tensor] = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}

    def watch(item: Any) -> Any:
        if not (isinstance(item, Tensor) and item.is_floating_point()):
            return item
        watched[f"input {len(watched)}"] = leaf = item.detach().clone().requires_grad_()
        return leaf.clone()  # a leaf may not be changed in place

    with torch.enable_grad():
        found = outputs(model, tree_map(watch, example))
    roots = [item for item in found if item.requires_grad]
    if not roots:
        return Measured(found, {})
    directions = [torch.randn(item.shape, generator=torch.Generator().manual_seed(0)).to(item) for item in roots]
    gradients = torch.autograd.grad(roots, [*watched.values()], directions, allow_unused=True)
    return Measured([item.detach() for item in found], dict(zip(watched, gradients, strict=True)))


def compare(model: nn.Module, example: Example) -> Comparison:
    """Convert a model in place, and compare it with itself before.

    Raises:
        AssertionError: the keys of its `state_dict` have changed.
    """
    try:
        before = measure(model, example)
    except (RuntimeError, AssertionError):  # it changes in place what its derivative needs, or refuses gradients
        before = measure(model, example, differentiable=False)

    def differences() -> tuple[float, float | None]:
        after = measure(model, example, bool(before.gradients))
        gradients = difference_of_gradients(after.gradients, before.gradients) if before.gradients else None
        return difference(after.outputs, before.outputs), gradients

    keys = [*model.state_dict()]
    report = convert_model(model, example=example)
    if [*model.state_dict()] != keys:
        raise AssertionError("the keys of the state_dict have changed")
    fast = differences()
    for operator in operators(model):
        operator.evaluator = Summed()
    ran: set[str] = set()
    for path in report.converted:
        model.get_submodule(path).register_forward_pre_hook(lambda *_, path=path: ran.add(path))
    try:
        with limited(SECONDS_OF_PAIRS):
            pairs = differences()
    except (RuntimeError, TimeoutError) as error:
        if not isinstance(error, TimeoutError) and "allocate memory" not in str(error):
            raise
        return Comparison(report, set(), (fast[0], None), (fast[1], None))
    silent = {report.converted[path] for path in ran if not any(map(sums, operators(model.get_submodule(path))))}
    return Comparison(report, silent, (fast[0], pairs[0]), (fast[1], pairs[1]))


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise `TimeoutError` when a block takes longer."""

    def stop(*_: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def operators(model: nn.Module) -> list[IntegralOperator]:
    """Return the operators in a model."""
    return [module for module in model.modules() if isinstance(module, IntegralOperator)]


def sums(operator: IntegralOperator) -> bool:
    """Whether an operator has summed over all pairs; one that was refitted has kept its evaluator."""
    return isinstance(operator.evaluator, Summed) and operator.evaluator.count > 0


class Summed(TiledEvaluator):
    """Counts its sums over all pairs."""

    count = 0

    def evaluate(self, problem: Problem) -> Tensor:
        """Compute the integral."""
        self.count += 1
        return super().evaluate(problem)


def difference(actual: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference of outputs, relative to the largest of an output if that exceeds 1."""
    if [item.shape for item in actual] != [item.shape for item in expected]:
        return inf
    pairs = zip(actual, expected, strict=True)
    return max((gap(a, e) / max(1.0, largest([e])) for a, e in pairs), default=0.0)


def difference_of_gradients(actual: Mapping[str, Tensor | None], expected: Mapping[str, Tensor | None]) -> float:
    """Return the largest difference of gradients, relative to the largest of all.

    It is infinite if a parameter has a gradient only before, or only after the conversion.
    """
    if [(name, item is None) for name, item in actual.items()] != [(k, item is None) for k, item in expected.items()]:
        return inf
    pairs = [(a, e) for a, e in zip(actual.values(), expected.values(), strict=True) if a is not None and e is not None]
    return max((gap(a, e) for a, e in pairs), default=0.0) / (largest(e for _, e in pairs) or 1.0)


def largest(tensors: Iterable[Tensor]) -> float:
    """Return the largest finite absolute value."""
    return max((float(item.abs().nan_to_num(0, 0, 0).max()) for item in tensors if item.numel()), default=0.0)


def gap(actual: Tensor, expected: Tensor) -> float:
    """Return the largest difference; numbers that are infinite or no numbers have to be the same."""
    same = (actual == expected) | (actual.isnan() & expected.isnan())
    differences = (actual - expected).abs().masked_fill(same, 0).nan_to_num(inf)
    return float(differences.max()) if differences.numel() else 0.0


class InDouble(TorchFunctionMode):
    """Models compute in float64, where their code asks for float32, too."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, with float64 in place of float32."""
        if func is Tensor.float:
            func = Tensor.double
        args, kwargs = tree_map(lambda item: torch.float64 if item is torch.float32 else item, (args, kwargs or {}))
        return func(*args, **kwargs)


def compare_in_double(model: nn.Module, example: Example) -> Comparison:
    """Compare a model with itself before its conversion, all of it in double precision."""

    def double(item: Any) -> Any:
        return item.double() if isinstance(item, Tensor) and item.is_floating_point() else item

    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with InDouble():
            return compare(model.double(), tree_map(double, example))
    finally:
        torch.set_default_dtype(default)
