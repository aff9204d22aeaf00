"""The evaluator that picks one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from itnet_core.operator.evaluators.dense import DenseEvaluator
from itnet_core.operator.evaluators.evaluator import Evaluator
from itnet_core.operator.evaluators.tiled import TiledEvaluator
from itnet_core.operator.kernel import Kernel, Points
from itnet_core.operator.transforms import transform_of
from itnet_core.plugin.config import ComponentConfig

logger = logging.getLogger(__name__)


class AutoEvaluator(Evaluator):
    """The kernel's shortcut where it applies, else the first evaluator, by rank, that can do the case and pays.

    The core's are `dense`, up to a pair tensor of 64 MiB, and `tiled`. The registry offers those of the installed
    plugins that have a rank to every `auto` that it builds; `itnet info auto` shows them in their order. Under
    `torch.func`, forward-mode derivatives and with DTensors only those that are `transformable` are taken, which is
    `dense` unless a plugin brings another. Which one is taken is logged at debug level.
    """

    takes_shortcuts: ClassVar[bool] = True

    def __init__(self, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._candidates: tuple[Evaluator, ...] = (DenseEvaluator(), TiledEvaluator())

    @property
    def candidates(self) -> tuple[Evaluator, ...]:
        """The evaluators that it chooses from, in the order of preference."""
        return self._candidates

    def offer(self, evaluators: Sequence[Evaluator]) -> None:
        """Add evaluators to choose from, less those without a rank, and those of a class that is there already."""
        there = {type(each) for each in self._candidates}
        new = (each for each in evaluators if type(each) not in there)
        ranked = [(each.rank, each) for each in (*self._candidates, *new) if each.rank is not None]
        self._candidates = tuple(each for _, each in sorted(ranked, key=lambda pair: pair[0]))

    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return the sums; see `Evaluator`."""
        if (kernel.transformable or not transform_of(values)) and kernel.integrates(query, key):
            return kernel.integrate(query, key, values)
        return self.choice(kernel, query, key, values)(kernel, query, key, values)

    def choice(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Evaluator:
        """Return the evaluator for a case that the kernel has no shortcut for."""
        case = (kernel, query, key, values)
        candidates = [e for e in self._candidates if e.transformable] if transform_of(values) else self._candidates
        able = (each for each in candidates if each.evaluates(*case))
        chosen = next((each for each in able if each.pays(*case)), candidates[-1])
        if not torch.compiler.is_compiling() and logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "%s for %s (%s) of %d x %d points, batch %d, %s",
                type(chosen).__name__,
                type(kernel).__name__,
                kernel.normalization,
                query.positions.shape[1],
                key.positions.shape[1],
                len(values),
                values.dtype,
            )
        return chosen
