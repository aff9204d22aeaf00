"""Results of PyTorch's function transforms, with reference values from finite differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import grad, jvp, vmap

Function = Callable[[Tensor], Tensor]
STEP = 1e-4
"""Step of the finite differences, whose error is then about 1e-8 in float64."""


def transforms(function: Function, point: Tensor) -> Iterator[tuple[str, Callable[[], Tensor], Callable[[], Tensor]]]:
    """Yield the names of transforms, functions that compute them, and functions that compute the right result.

    The transforms are both forward modes of PyTorch, `torch.func.grad`, `vmap`, and a product with the Hessian of the
    sum of squares. The right result comes from plain calls and backward passes.

    Args:
        function: a differentiable function of one float64 tensor.
        point: where the transforms are evaluated.
    """
    tangent = torch.linspace(-1, 1, point.numel(), dtype=point.dtype).view_as(point)

    def dual() -> Tensor:
        with forward_ad.dual_level():
            result = function(forward_ad.make_dual(point, tangent))  # type: ignore[no-untyped-call]
            derivative: Tensor | None = forward_ad.unpack_dual(result).tangent  # type: ignore[no-untyped-call]
            return torch.zeros_like(result) if derivative is None else derivative

    def squares(x: Tensor) -> Tensor:
        return function(x).square().sum()

    def slope(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(squares(x), x)[0]

    def along(f: Function) -> Tensor:
        return (f(point + STEP * tangent) - f(point - STEP * tangent)).detach() / (2 * STEP)

    both = torch.stack([point, point + tangent])
    yield "torch.func.jvp", lambda: jvp(function, (point,), (tangent,))[1], lambda: along(function)
    yield "forward_ad", dual, lambda: along(function)
    yield "torch.func.grad", lambda: grad(squares)(point), lambda: slope(point)
    yield "torch.func.vmap", lambda: vmap(function)(both), lambda: torch.stack([function(x) for x in both])
    yield "jvp of grad", lambda: jvp(grad(squares), (point,), (tangent,))[1], lambda: along(slope)
