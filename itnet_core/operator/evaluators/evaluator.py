"""Base class of evaluators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, final

from torch import Tensor

from itnet_core.operator.kernel import Problem
from itnet_core.operator.transforms import refuse_transform
from itnet_core.plugin.config import ComponentConfig, Configured
from itnet_core.plugin.errors import ConfigError


class Unsupported(NamedTuple):
    """The reason why an evaluator does not support a problem: what it found, and what it expects instead.

    Example:
        >>> kernel, field = MLPKernel(8), Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))
        >>> print(LocalEvaluator().unsupported(kernel.problem(field, field, values=torch.randn(1, 5, 4, 2))))
        found no radius or window; expected a support with one
    """

    found: str
    expected: str

    def __str__(self) -> str:
        return f"found {self.found}; expected {self.expected}"


class Evaluator(Configured, ABC):
    """Base class of evaluators: `Evaluator(config)` computes the sum over the pairs of a `Problem`.

    `unsupported` reports the kernels, dtypes and devices that an evaluator does not support. With a `rank` it takes
    part in `auto`, which chooses the first in the order of ranks that supports a problem and is efficient for it.

    Example:
        >>> class RowByRow(Evaluator):
        ...     def evaluate(self, problem):
        ...         rows = [problem.narrow(slice(i, i + 1)) for i in range(problem.shape[1])]
        ...         return torch.cat([DenseEvaluator()(row) for row in rows], dim=1)
        >>> operator = IntegralOperator(8, MLPKernel(8), evaluator=RowByRow())
        >>> operator(Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))).values.shape
        torch.Size([1, 5, 8])

    Attributes:
        takes_fast_paths: whether the kernel's own `integrate` and `transform` are used where they apply.
        takes_nodes: whether it supports problems whose nodes of each query are not gathered, `Problem.nodes`.
        rank: the position in the order of `auto`, the lowest first; `None` for an evaluator that is chosen by name
            only. The core's `dense` has 900 and `tiled`, which supports everything, 1000.
        transformable: whether it consists of PyTorch's own operations, so that `torch.func`, forward-mode derivatives
            and DTensors support it; otherwise a call under one of these raises an error.
        tolerance: the largest error, relative to the largest number of a result or a gradient; 0 for an exact
            evaluator. `auto` is exact, so one with a tolerance has no rank.
    """

    takes_fast_paths: ClassVar[bool] = False
    takes_nodes: ClassVar[bool] = False
    rank: ClassVar[int | None] = None
    transformable: ClassVar[bool] = False
    tolerance: float = 0.0

    def __init__(self, config: ComponentConfig | None = None, **options: Any) -> None:
        self.config = self.configure(config, options)

    def unavailable(self) -> str:
        """Return why this evaluator is unavailable on this machine, or ""."""
        return ""

    def unsupported(self, problem: Problem) -> Unsupported | None:
        """Return why this evaluator does not support a problem, or `None` if it does.

        It may read types, shapes, dtypes, devices and configurations, but no tensor values.
        """
        return None

    @final
    def supports(self, problem: Problem) -> bool:
        """Whether this evaluator supports a problem."""
        return self.unsupported(problem) is None

    def is_efficient(self, problem: Problem) -> bool:
        """Whether `auto` should choose this evaluator for a supported problem, before evaluators of higher rank."""
        return True

    def is_opaque(self, problem: Problem) -> bool:
        """Whether `torch.compile` leaves the operator uncompiled, as one node of the graph.

        Override it where `evaluate` reads tensor values, such as positions to find near points, or calls autograd.
        """
        return False

    @final
    def __call__(self, problem: Problem) -> Tensor:
        """Compute the integral, shape (B, N, heads, head_dim).

        Raises:
            ConfigError: the evaluator does not support the problem.
            DerivativeError: a transform is active, and the evaluator is not `transformable`.
        """
        name = type(self).__name__
        if not self.transformable:
            refuse_transform(name, problem.values)
        if reason := self.unsupported(problem):
            raise ConfigError(
                name, found=reason.found, expected=reason.expected, hint="Use the evaluator 'auto' or 'tiled'."
            )
        return self.evaluate(problem)

    @abstractmethod
    def evaluate(self, problem: Problem) -> Tensor:
        """Compute the integral of a problem that this evaluator supports, shape (B, N, heads, head_dim)."""
