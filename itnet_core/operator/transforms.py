"""Transforms of PyTorch that only its own operations support: `torch.func`, forward-mode derivatives, DTensors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch.autograd import forward_ad

from itnet_core.plugin.errors import ConfigError, DerivativeError

EXPORT = "torch.export"
HINT = "Use the evaluator 'dense', or 'auto', which chooses it for transforms."


def tracing() -> bool:
    """Whether tensors may belong to a trace or transform: of `torch.compile`, `export`, `func`, `jit.trace`, …

    Example:
        >>> tracing(), torch.func.vmap(lambda x: x * tracing())(torch.ones(2))
        (False, tensor([1., 1.]))
    """
    if torch.compiler.is_compiling():
        return True
    transforms, modes = torch._C._functorch.peek_interpreter_stack(), torch._C._len_torch_dispatch_stack()
    return transforms is not None or modes > 0 or torch.jit.is_tracing()


def under_functorch() -> bool:
    """Whether a transform of `torch.func` is active, under which tensor values may be hidden (`vmap`)."""
    return torch._C._are_functorch_transforms_active()


def transform_of(tensor: Tensor) -> str:
    """Name the transform that a computation with this tensor is under, or "".

    A custom operator drops tangents silently, and an `autograd.Function` that writes to its results loses what it
    writes to views of a DTensor. Algorithms that contain one of these do not support transforms.
    """
    if under_functorch():
        return "a transform of torch.func"
    if forward_ad._current_level >= 0:
        return "a forward-mode derivative"
    if torch.compiler.is_compiling():
        return EXPORT if torch.compiler.is_exporting() else ""
    if torch._C._functorch.is_legacy_batchedtensor(tensor):  # by autograd.grad(is_grads_batched=True)
        return "a batch of gradients"
    distributed = sys.modules.get("torch.distributed.tensor")
    if distributed is not None and isinstance(tensor, distributed.DTensor):
        return "a DTensor"
    return ""


def differentiated(tensor: Tensor) -> bool:
    """Whether a derivative with respect to this tensor may be taken, so that a fast path around it would lose it.

    Example:
        >>> differentiated(torch.zeros(1)), differentiated(torch.zeros(1, requires_grad=True))
        (False, True)
    """
    return tensor.requires_grad or bool(transform_of(tensor))


_EXCLUDED_IN_GRAPHS = (
    DispatchKey.AutogradOther,
    DispatchKey.AutogradCPU,
    DispatchKey.AutogradCUDA,
    DispatchKey.ADInplaceOrView,
    DispatchKey.Conjugate,
    DispatchKey.Negative,
    DispatchKey.ZeroTensor,
)


@contextmanager
def recording(enabled: bool = True) -> Iterator[None]:
    """Run as in eager PyTorch within a node of a compiled graph, forward or backward; record gradients if enabled.

    Such a node runs with PyTorch's dispatch to autograd excluded, so that `enable_grad` alone records nothing, and with
    the dispatch that resolves conjugates excluded, so that complex numbers would be wrong.
    """
    include, exclude = torch._C._dispatch_tls_local_include_set(), torch._C._dispatch_tls_local_exclude_set()
    for key in _EXCLUDED_IN_GRAPHS:
        exclude = exclude.remove(key)
    with torch._C._ForceDispatchKeyGuard(include, exclude), torch.set_grad_enabled(enabled):
        yield


def refuse_transform(place: str, tensor: Tensor, hint: str = HINT) -> None:
    """Refuse a computation under a transform.

    Example:
        >>> def square(x):
        ...     refuse_transform("square", x)
        ...     return x.square()
        >>> torch.func.grad(square)(torch.ones(()))
        Traceback (most recent call last):
            ...
        itnet_core.plugin.errors.DerivativeError: square: found ...

    Raises:
        DerivativeError: `torch.func` or forward-mode differentiation is active.
        ConfigError: the tensor is a DTensor.
    """
    if transform := transform_of(tensor):
        error = ConfigError if transform == "a DTensor" else DerivativeError
        raise error(place, found=transform, expected="plain tensors and derivatives by backward()", hint=hint)


def refuse_second_derivatives(
    place: str, grad: Tensor, hint: str = "Use the evaluator 'dense' for second derivatives."
) -> None:
    """Refuse a backward pass that is itself differentiated or batched.

    PyTorch's `once_differentiable` would let `autograd.grad` return wrong numbers instead.

    Example:
        >>> class Square(torch.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x.square()
        ...     @staticmethod
        ...     def backward(ctx, grad):
        ...         refuse_second_derivatives("Square", grad, hint="use torch.square")
        ...         return 2 * ctx.saved_tensors[0] * grad
        >>> x = torch.ones(1, requires_grad=True)
        >>> torch.autograd.grad(Square.apply(x), x, create_graph=True)
        Traceback (most recent call last):
            ...
        itnet_core.plugin.errors.DerivativeError: Square: found a backward pass with create_graph=True; expected ...

    Raises:
        DerivativeError: the backward pass runs with `create_graph=True`, or under a transform.
    """
    if torch.is_grad_enabled():
        found = "a backward pass with create_graph=True"
        raise DerivativeError(place, found=found, expected="first derivatives only", hint=hint)
    refuse_transform(place, grad, hint)
