"""Factorisation of a whole model's kernels by one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from itnet_core import Field, IntegralOperator, ITNetModel
from itnet_kernels.errors import FactorizationError
from itnet_kernels.low_rank.factorization import Factorization, factorization_obstacle, factorize

Calls = dict[str, list[tuple[Field, Field | None]]]


@dataclass
class FactorizationReport:
    """What `factorize_model` did.

    Attributes:
        factorized: what became of each operator's kernel, by the operator's path.
        left: why each other operator was left as it was, by its path.
    """

    factorized: dict[str, Factorization] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    @property
    def reached(self) -> bool:
        """Whether every head's error is within the tolerance, and none was left."""
        return not self.left and all(each.reached for each in self.factorized.values())

    def __str__(self) -> str:
        lines = [f"{len(self.factorized)} factorized, {len(self.left)} left"]
        lines += [f"  {path}: {found}" for path, found in self.factorized.items()]
        lines += [f"  {path}: left: {reason}" for path, reason in self.left.items()]
        return "\n".join(lines)


def factorize_model(
    model: nn.Module, *inputs: Any, rank: int = 64, tolerance: float = 0.01, points: int = 1024, seed: int = 0
) -> FactorizationReport:
    """Replace the kernels of a model's operators by kernels of low rank, in place.

    The model runs once on `inputs`, and each kernel is factorised on the fields that reach it then. An `ITNetModel` has
    one kernel in its configuration, so there every operator gets as many pivots as the one that needs most, none is
    replaced if one has to be left, and its checkpoints hold the new kernels.

    Args:
        model: a model with `IntegralOperator`s; of an `ITNetModel` the encoder and the trunk run.
        inputs: what it is called with: a batch of data like those it is for, of some tens of samples, and the modality
            if it has several.
        rank: as for `factorize`.
        tolerance: as for `factorize`.
        points: as for `factorize`.
        seed: as for `factorize`.

    Returns:
        What was replaced, with the error of each head, and what was left. It says where the tolerance is not reached.

    Raises:
        FactorizationError: there are too few points.
    """
    operators = {name: each for name, each in model.named_modules() if isinstance(each, IntegralOperator)}
    with _recorded(operators) as calls:
        _run(model, inputs)
    report = FactorizationReport(left={name: why for name in operators if (why := _left(operators[name], calls[name]))})
    one = isinstance(model, ITNetModel)
    if one and report.left:
        others = [name for name in operators if name not in report.left]
        report.left |= dict.fromkeys(others, "a model has one kernel in its configuration, and others are left")
    todo = [name for name in operators if name not in report.left]
    make = partial(_factorized, operators, calls, points=points, seed=seed)
    found = {name: make(name, rank=rank, tolerance=tolerance) for name in todo}
    if one:
        most = max((each.kernel.config.pivots for each in found.values()), default=0)
        for name, each in found.items():
            if each.kernel.config.pivots < most:
                found[name] = make(name, rank=most, tolerance=tolerance, min_pivots=most)
    for name, each in found.items():
        operator = operators[name]
        each.kernel.requires_grad_(any(parameter.requires_grad for parameter in operator.kernel.parameters()))
        each.kernel.evaluator = operator.evaluator
        operator.kernel = each.kernel
    if isinstance(model, ITNetModel) and isinstance(model.config, Mapping) and found:
        options = next(iter(found.values())).kernel.config.model_dump(mode="json")
        model.config = {**model.config, "kernel": {"name": "itnet-kernels/skeleton", **options}}
    report.factorized = found
    return report


def _factorized(operators: Mapping[str, IntegralOperator], calls: Calls, name: str, **options: Any) -> Factorization:
    query, key = calls[name][0]
    try:
        return factorize(operators[name].kernel, query, key, **options)
    except FactorizationError as error:
        raise FactorizationError(name, found=error.found, expected=error.expected, hint=error.hint) from error


def _left(operator: IntegralOperator, calls: list[Any]) -> str:
    """Return why an operator's kernel is left, or nothing."""
    if obstacle := factorization_obstacle(operator.kernel):
        return obstacle
    if not operator.evaluator.takes_fast_paths:
        return f"{type(operator.evaluator).__name__} takes no shortcuts, so that nothing would be faster; use 'auto'"
    if len(calls) != 1:
        return f"called {len(calls)} times in one pass, on fields that one factorisation need not serve"
    return ""


@contextmanager
def _recorded(operators: Mapping[str, IntegralOperator]) -> Iterator[Calls]:
    """Record the fields that each operator is called with, as its kernel meets them."""
    calls: Calls = {name: [] for name in operators}

    def record(name: str, operator: nn.Module, given: tuple[Field, ...], named: dict[str, Field]) -> None:
        fields = dict(zip(("query", "key"), given, strict=False)) | named
        query, key = fields["query"], fields.get("key")
        other = None if key is None or key is query else key.without_padding()
        calls[name].append((query.without_padding(), other))

    hooks = [
        each.register_forward_pre_hook(partial(record, name), with_kwargs=True) for name, each in operators.items()
    ]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _run(model: nn.Module, inputs: tuple[Any, ...]) -> None:
    training = {module: module.training for module in model.modules()}
    try:
        run = model.eval().features if isinstance(model, ITNetModel) else model.eval()
        run(*inputs)
    finally:
        for module, was in training.items():
            module.training = was
