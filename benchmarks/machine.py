"""Rates of this machine, and from them a lower bound for the time of an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from measuring import matrix_rate, timed
from peers import HEADS, HIDDEN, WIDTH, Setup
from torch import Tensor

IN_CACHE = 1 << 17
"""Numbers of a tensor that stays in the cores' caches, and is large enough that torch shares it among its threads."""


@dataclass(frozen=True)
class Rates:
    """Rates of PyTorch in float32.

    Attributes:
        product: operations a second of a product of 2048² matrices.
        elementwise: numbers a second, in the caches, by function.
        bandwidth: bytes a second that a copy of 256 MB reads and writes.
    """

    product: float
    elementwise: dict[str, float]
    bandwidth: float

    @classmethod
    def of_this_machine(cls) -> Rates:
        """Measure them, each the best of several runs."""
        into = torch.empty(IN_CACHE)
        functions: dict[str, Callable[[Tensor], Tensor]] = {
            "relu": torch.relu_,
            "silu": lambda x: torch.nn.functional.silu(x, inplace=True),
            "exp": lambda x: torch.exp(x, out=into),  # in place it would soon be infinite, which takes longer
        }
        large = torch.zeros(1 << 26)
        copied = torch.empty_like(large)
        seconds = min(timed(lambda: copied.copy_(large)) for _ in range(5))
        return cls(matrix_rate(), {n: _rate(f) for n, f in functions.items()}, 2 * large.nbytes / seconds)

    def bound(self, given: Setup, backward: bool) -> float:
        """Return the seconds that a problem's arithmetic takes at these rates; see `operations`.

        A ReLU and an addition take a multiply-add's place, two operations; SiLU, and the exponential of softmax, take
        their time. A backward pass counts twice a forward one: nothing is computed again.
        """
        config, pairs = given.kernel.config, given.field.values.shape[1] ** 2
        simple = 2 * HIDDEN * (config.activation == "relu") + HIDDEN * given.additive
        seconds = operations(given, False) / self.product + pairs * simple / self.product
        if config.activation != "relu":
            seconds += pairs * HIDDEN / self.elementwise[config.activation]
        if given.kernel.normalization == "softmax":
            seconds += pairs * HEADS / self.elementwise["exp"]
        return seconds * (3 if backward else 1)


def operations(given: Setup, backward: bool) -> float:
    """Return the operations of a problem's products, and of an additive kernel's sums.

    A pair's are 2 · hidden · (R + heads) + 2 · d forward, with R point features, or 1 in the place of 2 · R for an
    additive kernel; and twice as many backward, where what is computed again does not count.
    """
    first = 1 if given.additive else 2 * given.kernel.inputs.width
    pair = HIDDEN * first + 2 * HIDDEN * HEADS + 2 * HEADS * WIDTH
    return given.field.values.shape[1] ** 2 * pair * (3.0 if backward else 1.0)


def _rate(function: Callable[[Tensor], Tensor]) -> float:
    x = torch.zeros(IN_CACHE)

    def repeated() -> None:
        for _ in range(20):
            function(x)

    repeated()
    return 20 * IN_CACHE / min(timed(repeated) for _ in range(5))
