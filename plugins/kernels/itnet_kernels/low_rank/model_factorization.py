"""Factorisation of all kernels of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from itnet_core import Field, IntegralOperator, ITNetModel, evaluation_mode
from itnet_kernels.errors import FactorizationError
from itnet_kernels.low_rank.factorization import Factorization, factorization_obstacle, factorize

Calls = dict[str, list[tuple[Field, Field | None]]]


@dataclass
class FactorizationReport:
    """Report of `factorize_model`.

    Example:
        >>> kernel = MLPKernel(8, heads=1, inputs=("displacement",), activation="tanh")
        >>> other = MLPKernel(8, normalization="softmax")
        >>> model = nn.Sequential(IntegralOperator(8, kernel), IntegralOperator(8, other))
        >>> print(factorize_model(model, Field.on_grid(torch.randn(4, 50, 8), axes="t")))
        1 factorized, 1 left
          0: ... pivots; error of each head 0...%; tolerance 1.00% reached
          1: left: normalization 'softmax': e^k would have to be of low rank, and an approximation of it positive

    Attributes:
        factorized: the factorisation of each replaced kernel, by the path of its operator.
        left: the reason why each other kernel was left as it is, by the path of its operator.
    """

    factorized: dict[str, Factorization] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    @property
    def reached(self) -> bool:
        """Whether every kernel was factorised, and every head's error is within the tolerance."""
        return not self.left and all(factorization.reached for factorization in self.factorized.values())

    def __str__(self) -> str:
        lines = [f"{len(self.factorized)} factorized, {len(self.left)} left"]
        lines += [f"  {path}: {factorization}" for path, factorization in self.factorized.items()]
        lines += [f"  {path}: left: {reason}" for path, reason in self.left.items()]
        return "\n".join(lines)


def factorize_model(
    model: nn.Module, *inputs: Any, rank: int = 64, tolerance: float = 0.01, points: int = 1024, seed: int = 0
) -> FactorizationReport:
    """Replace the kernels of a model's operators by skeletons of low rank, in place.

    The model runs once on `inputs`, and each kernel is factorised on the fields that reach it. The kernels of an
    entry of an `ITNetModel`'s trunk share one configuration, so all get the largest number of pivots that one of them
    needs, and none is replaced if one has to be left; its checkpoints hold the new kernels.

    Example:
        >>> model = nn.Sequential(IntegralOperator(8, MLPKernel(8)), IntegralOperator(8, MLPKernel(8)))
        >>> report = factorize_model(model, Field(torch.randn(4, 50, 8), torch.rand(4, 50, 4)), rank=16)
        >>> list(report.factorized), report.left
        (['0', '1'], {})

    Args:
        model: a model with `IntegralOperator`s; of an `ITNetModel`, the encoder and the trunk run.
        inputs: arguments of the model: a batch of typical data, of some tens of samples, and the modality if the model
            has several.
        rank: as for `factorize`.
        tolerance: as for `factorize`.
        points: as for `factorize`.
        seed: as for `factorize`.

    Returns:
        The replaced kernels with the error of each head, whether or not it is within the tolerance, and the others.

    Raises:
        FactorizationError: there are too few points.
    """
    operators = {path: module for path, module in model.named_modules() if isinstance(module, IntegralOperator)}
    with _recording(operators) as calls:
        _run(model, inputs)
    obstacles = {path: _obstacle(operators[path], calls[path]) for path in operators}
    report = FactorizationReport(left={path: obstacle for path, obstacle in obstacles.items() if obstacle})
    entries = model.operator_paths() if isinstance(model, ITNetModel) else [[path] for path in operators]
    run = partial(_factorize, operators, calls, tolerance=tolerance, points=points, seed=seed)
    for paths in entries:
        if not report.left.keys().isdisjoint(paths):
            others = [path for path in paths if path not in report.left]
            report.left |= dict.fromkeys(others, "its blocks have one kernel in the configuration, and others are left")
            continue
        factorized = {path: run(path, rank=rank) for path in paths}
        most = max(factorization.kernel.config.pivots for factorization in factorized.values())
        report.factorized |= {
            path: run(path, rank=most, min_pivots=most) if factorization.kernel.config.pivots < most else factorization
            for path, factorization in factorized.items()
        }
    _replace(model, operators, report.factorized)
    return report


def _factorize(operators: Mapping[str, IntegralOperator], calls: Calls, path: str, **options: Any) -> Factorization:
    [(query, key)] = calls[path]
    try:
        return factorize(operators[path].kernel, query, key, **options)
    except FactorizationError as error:
        raise FactorizationError(path, found=error.found, expected=error.expected, hint=error.hint) from error


def _replace(
    model: nn.Module, operators: Mapping[str, IntegralOperator], factorizations: Mapping[str, Factorization]
) -> None:
    """Replace the kernels of operators, and record them in the configuration of an `ITNetModel`."""
    for path, factorization in factorizations.items():
        operator, kernel = operators[path], factorization.kernel
        kernel.requires_grad_(any(parameter.requires_grad for parameter in operator.kernel.parameters()))
        kernel.evaluator = operator.evaluator
        if not isinstance(model, ITNetModel):
            operator.kernel = kernel
    if isinstance(model, ITNetModel) and factorizations:
        kernels = {path: factorization.kernel for path, factorization in factorizations.items()}
        model.replace_kernels("itnet-kernels/skeleton", kernels)


def _obstacle(operator: IntegralOperator, calls: list[Any]) -> str:
    """Return why an operator's kernel is left as it is, or ""."""
    if obstacle := factorization_obstacle(operator.kernel):
        return obstacle
    if not operator.evaluator.takes_fast_paths:
        return f"{type(operator.evaluator).__name__} takes no fast paths, so that nothing would be faster; use 'auto'"
    if len(calls) != 1:
        return f"called {len(calls)} times in one pass, on fields that one factorisation need not serve"
    return ""


@contextmanager
def _recording(operators: Mapping[str, IntegralOperator]) -> Iterator[Calls]:
    """Record the fields that each operator is called with, as its kernel sees them."""
    calls: Calls = {path: [] for path in operators}

    def record(path: str, operator: nn.Module, arguments: tuple[Field, ...], named: dict[str, Field]) -> None:
        fields = dict(zip(("query", "key"), arguments, strict=False)) | named
        query, key = fields["query"], fields.get("key")
        other = None if key is None or key is query else key.without_padding()
        calls[path].append((query.without_padding(), other))

    hooks = [
        operator.register_forward_pre_hook(partial(record, path), with_kwargs=True)
        for path, operator in operators.items()
    ]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _run(model: nn.Module, inputs: tuple[Any, ...]) -> None:
    with evaluation_mode(model):
        (model.features if isinstance(model, ITNetModel) else model)(*inputs)
