"""The evaluator that picks one."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from itnet_core.config import ComponentConfig
from itnet_core.evaluate.dense import DenseEvaluator
from itnet_core.evaluate.evaluator import Evaluator
from itnet_core.evaluate.tiled import TiledEvaluator
from itnet_core.kernel import Kernel, Points

DENSE_BYTES = 64 << 20


class AutoEvaluator(Evaluator):
    """The kernel's shortcut where it applies, else the faster of `dense` and `tiled`.

    That is dense up to a pair tensor of 64 MiB, where recomputing it in the backward pass would cost more.
    """

    takes_shortcuts: ClassVar[bool] = True

    def __init__(self, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._dense, self._tiled = DenseEvaluator(), TiledEvaluator()

    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return the sums; see `Evaluator`."""
        if kernel.integrates(query, key):
            return kernel.integrate(query, key, values)
        pairs = values.shape[0] * query.positions.shape[1] * key.positions.shape[1]
        small = pairs * kernel.pair_width * values.element_size() <= DENSE_BYTES
        evaluator = self._dense if small else self._tiled
        return evaluator(kernel, query, key, values)
