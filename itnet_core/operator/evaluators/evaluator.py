"""The evaluators' base class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from itnet_core.operator.kernel import Kernel, Points
from itnet_core.plugin.config import ComponentConfig, Configured


class Evaluator(Configured, ABC):
    """Base of evaluators: `Evaluator(config)` sums over a kernel's pairs, knowing only `project`'s terms and `tile`.

    With normalization `none` the result is Σ_j w_j k_h(i, j) v_jh, with `softmax` Σ_j w_j e^k v / Σ_j w_j e^k, both
    over the pairs of the kernel's support with w_j > 0. Where there is no such pair the result is 0.

    One that is made for some kernels, dtypes or devices says so in `evaluates`. With a `rank` it takes part in `auto`,
    which takes the first in the order of ranks that evaluates a case and pays for it.

    Attributes:
        takes_shortcuts: whether the kernel's own `integrate` and `transform` are taken where they apply.
        rank: the place in `auto`'s order, the lowest first; `None` for one that is taken by its name alone. The core's
            `dense` has 900 and `tiled`, which evaluates everything, 1000.
        transformable: whether `torch.func`, forward-mode derivatives and DTensors go through it, as they go through
            PyTorch's own operations; else it refuses them (`itnet_core.operator.transforms.refuse_transform`).
        tolerance: the relative error that it allows itself, of the largest number of a result or a gradient; 0 for an
            exact one. `auto` is exact, so that one with a tolerance has no rank.
    """

    takes_shortcuts: ClassVar[bool] = False
    rank: ClassVar[int | None] = None
    transformable: ClassVar[bool] = False
    tolerance: float = 0.0

    def __init__(self, config: ComponentConfig | None = None, **options: Any) -> None:
        self.config = self.configure(config, options)

    def missing(self) -> str:
        """Return what it lacks on this machine, so that it evaluates nothing here; nothing if it lacks nothing."""
        return ""

    def evaluates(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> bool:
        """Whether it can do this case; one that cannot refuses it with an `ITNetError` when it is called.

        It may look at types, shapes, dtypes, devices and configurations, not at numbers.
        """
        return True

    def pays(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> bool:
        """Whether `auto` should take it for a case that it evaluates, before those of a higher rank.

        For one that is faster only from some number of points on, or only up to one.
        """
        return True

    @abstractmethod
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return the sums at the N query points.

        Args:
            kernel: the kernel; only its `forward` (`tile`), normalisation, support and `pair_width` are used, unless
                `evaluates` says which kernels it knows.
            query: N points; their weights play no part.
            key: M points with their weights.
            values: shape (B, M, heads, head_dim).

        Returns:
            Shape (B, N, heads, head_dim).

        Raises:
            ITNetError: `evaluates` is `False` for the case.
        """
