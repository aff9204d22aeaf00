"""The dispatcher: choose the fast path of the kernel or the evaluator that computes an integral."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from textwrap import indent
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from itnet_core.operator.evaluators.dense import DenseEvaluator
from itnet_core.operator.evaluators.evaluator import Evaluator
from itnet_core.operator.evaluators.installed import installed_evaluators
from itnet_core.operator.evaluators.local import LocalEvaluator
from itnet_core.operator.evaluators.tiled import TiledEvaluator
from itnet_core.operator.field import Field
from itnet_core.operator.kernel import Kernel, Problem
from itnet_core.operator.sampler import FullSampler, Sampler
from itnet_core.operator.transforms import EXPORT, transform_of
from itnet_core.plugin.config import ComponentConfig

logger = logging.getLogger(__name__)


class Candidate(NamedTuple):
    """A fast path or an evaluator, and the reason against it; "" for the chosen one."""

    name: str
    reason: str


class Choice(NamedTuple):
    """The fast path or evaluator chosen for an integral, among the candidates.

    Example:
        >>> operator = IntegralOperator(8, MLPKernel(8), evaluator=AutoEvaluator(evaluators=[]))
        >>> operator.explain_choice(Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))).chosen
        'DenseEvaluator'

    Attributes:
        candidates: fast paths of the kernel and evaluators, in the order of preference.
        summands: for a sum of integrals, in place of `candidates`, the kernel and the choice of each.
    """

    candidates: tuple[Candidate, ...] = ()
    summands: tuple[tuple[str, Choice], ...] = ()

    @property
    def chosen(self) -> str | None:
        """The name of the fast path or evaluator that computes the integral; `None` if the evaluator refuses it.

        For a sum of integrals, the names of all, joined by " + ".
        """
        if self.summands:
            names = [choice.chosen for _, choice in self.summands]
            return None if None in names else " + ".join(map(str, names))
        return next((candidate.name for candidate in self.candidates if not candidate.reason), None)

    def __str__(self) -> str:
        if self.summands:
            return "\n".join(f"{kernel}\n{indent(str(choice), '  ')}" for kernel, choice in self.summands)
        width = max(len(candidate.name) for candidate in self.candidates)
        return "\n".join(f"{name:{width}}  {reason or 'chosen'}" for name, reason in self.candidates)


class AutoEvaluator(Evaluator):
    """The kernel's fast path if one applies, else the first evaluator by rank that is efficient for the problem.

    The candidates are the evaluators of the core and those of installed plugins that have a rank. The core's are
    `local`, for a radius or a window; `dense`, up to a pair tensor of 64 MiB; and `tiled`. `itnet info auto` lists all
    candidates in their order. Under `torch.func`, with forward-mode derivatives and with DTensors, only `transformable`
    candidates are chosen. `IntegralOperator.explain_choice` shows which one is chosen for given fields, and why; a
    debug message names it.

    Example:
        >>> kernel, field = MLPKernel(8), Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))
        >>> problem = kernel.problem(field, field, values=torch.randn(1, 5, 4, 2))
        >>> type(AutoEvaluator(evaluators=[]).choose(problem)).__name__
        'DenseEvaluator'

    Args:
        config: no fields.
        evaluators: further candidates, by default those of the installed plugins. A `LocalEvaluator`, `DenseEvaluator`
            or `TiledEvaluator` among them replaces the core's own.
    """

    takes_fast_paths: ClassVar[bool] = True
    takes_nodes: ClassVar[bool] = True
    transformable: ClassVar[bool] = True

    def __init__(
        self,
        config: ComponentConfig | None = None,
        *,
        evaluators: Sequence[Evaluator] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(config, **options)
        others = installed_evaluators() if evaluators is None else evaluators
        own = {type(evaluator) for evaluator in others}
        core = [evaluator() for evaluator in (LocalEvaluator, DenseEvaluator, TiledEvaluator) if evaluator not in own]
        ranked = [(evaluator.rank, evaluator) for evaluator in [*core, *others] if evaluator.rank is not None]
        self.evaluators = tuple(evaluator for _, evaluator in sorted(ranked, key=lambda pair: pair[0]))

    def evaluate(self, problem: Problem) -> Tensor:
        """Compute the integral."""
        if not integrate_obstacle(problem):
            return problem.kernel.integrate(problem)
        evaluator = self.choose(problem)
        if not torch.compiler.is_compiling() and logger.isEnabledFor(logging.DEBUG):
            batch, queries, keys = problem.shape
            name, kernel, dtype = type(evaluator).__name__, problem.kernel, problem.values.dtype
            size = f"{queries} x {keys} points, batch {batch}, {dtype}"
            logger.debug("%s for %s (%s) of %s", name, type(kernel).__name__, kernel.normalization, size)
        return evaluator.evaluate(problem)

    def is_opaque(self, problem: Problem) -> bool:
        """Whether the evaluator chosen for the problem is opaque."""
        return bool(integrate_obstacle(problem)) and self.choose(problem).is_opaque(problem)

    def choose(self, problem: Problem) -> Evaluator:
        """Return the evaluator for a problem that no fast path applies to."""
        transform, fallback = transform_of(problem.values), None
        for evaluator in self.evaluators:
            if not evaluator_obstacle(evaluator, problem, transform):
                if transform == EXPORT or evaluator.is_efficient(problem):  # an exported graph is of any size
                    return evaluator
                fallback = evaluator
        assert fallback is not None, "dense supports every problem"
        return fallback

    def explain(self, problem: Problem) -> Choice:
        """Return the candidates for a problem, with the reason against each that is not chosen."""
        obstacle = integrate_obstacle(problem)
        candidates = [Candidate("kernel.integrate", obstacle)]
        chosen, transform = self.choose(problem) if obstacle else None, transform_of(problem.values)
        for evaluator in self.evaluators:
            reason = ""
            if evaluator is not chosen:
                reason = evaluator_obstacle(evaluator, problem, transform)
                reason = reason or ("" if evaluator.is_efficient(problem) else "not efficient for this size")
                reason = reason or "ranked after the chosen one"
            candidates.append(Candidate(type(evaluator).__name__, reason))
        return Choice(tuple(candidates))


def evaluator_obstacle(evaluator: Evaluator, problem: Problem, transform: str) -> str:
    """Return why an evaluator refuses a problem under a transform, named by `transform_of`, or ""."""
    if problem.nodes is not None and not evaluator.takes_nodes:
        return "would have to gather the nodes of each query"
    return _transform_obstacle(evaluator, transform) or str(evaluator.unsupported(problem) or "")


def transform_obstacle(evaluator: Evaluator, kernel: Kernel, query: Field, key: Field) -> str:
    """Return why `kernel.transform` does not compute an operator's output, or ""."""
    if not kernel.offers("transform"):
        return f"{type(kernel).__name__} has none"
    if not evaluator.takes_fast_paths:
        return f"{type(evaluator).__name__} takes no fast paths"
    obstacle = _transform_obstacle(kernel, transform_of(query.values))
    return obstacle or ("" if kernel.can_transform(query, key) else "can_transform is False for these fields")


def integrate_obstacle(problem: Problem) -> str:
    """Return why `kernel.integrate` does not compute an integral, or ""."""
    kernel = problem.kernel
    if not kernel.offers("integrate"):
        return f"{type(kernel).__name__} has none"
    if problem.nodes is not None:
        return "would have to gather the nodes of each query"
    obstacle = _transform_obstacle(kernel, transform_of(problem.values))
    return obstacle or ("" if kernel.can_integrate(problem) else "can_integrate is False for these points")


def step_obstacle(kernel: Kernel, sampler: Sampler) -> str:
    """Return why `step` does not advance an operator, or ""."""
    if kernel.support.causal is None:
        return f"{kernel.support!r}, which is not causal"
    if kernel.measure == "mean":
        return "the measure 'mean', which depends on later points"
    return "" if isinstance(sampler, FullSampler) else f"{type(sampler).__name__}, which samples points"


def _transform_obstacle(part: Kernel | Evaluator, transform: str) -> str:
    if not transform or part.transformable or (transform == EXPORT and isinstance(part, Kernel) and part.exportable):
        return ""
    return f"not transformable, under {transform}"
