"""The evaluators' base class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from itnet_core.config import ComponentConfig, Configured
from itnet_core.kernel import Kernel, Points


class Evaluator(Configured, ABC):
    """Base of evaluators: `Evaluator(config)` sums over a kernel's pairs, knowing only `project`'s terms and `tile`.

    With normalization `none` the result is Σ_j w_j k_h(i, j) v_jh, with `softmax` Σ_j w_j e^k v / Σ_j w_j e^k, both
    over the pairs of the kernel's support with w_j > 0. Where there is no such pair the result is 0.

    Attributes:
        takes_shortcuts: whether the kernel's own `integrate` and `transform` are taken where they apply.
    """

    takes_shortcuts: ClassVar[bool] = False

    def __init__(self, config: ComponentConfig | None = None, **options: Any) -> None:
        self.config = self.configure(config, options)

    @abstractmethod
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return the sums at the N query points.

        Args:
            kernel: the kernel; only its `forward` (`tile`), normalisation, support and `pair_width` are used.
            query: N points; their weights play no part.
            key: M points with their weights.
            values: shape (B, M, heads, head_dim).

        Returns:
            Shape (B, N, heads, head_dim).
        """
