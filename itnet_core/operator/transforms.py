"""Transforms of PyTorch that go through its own operations alone: `torch.func`, forward-mode derivatives, DTensors."""

from __future__ import annotations

import sys

import torch
from torch import Tensor
from torch.autograd import forward_ad

from itnet_core.plugin.errors import ConfigError, DerivativeError

HINT = "Use the evaluator 'dense', or 'auto', which takes it there."


def transform_of(tensor: Tensor) -> str:
    """Return the transform that a computation with this tensor is under, or nothing.

    A custom operator drops tangents without a word, and an `autograd.Function` that writes to its results loses what it
    writes to a DTensor's views. Algorithms with one of these do not apply where there is a transform.
    """
    if under_functorch():
        return "a transform of torch.func"
    if forward_ad._current_level >= 0:
        return "a forward-mode derivative"
    if torch.compiler.is_compiling():
        return ""
    if torch._C._functorch.is_legacy_batchedtensor(tensor):  # by autograd.grad(is_grads_batched=True)
        return "a batch of gradients"
    distributed = sys.modules.get("torch.distributed.tensor")
    if distributed is not None and isinstance(tensor, distributed.DTensor):
        return "a DTensor"
    return ""


def differentiated(tensor: Tensor) -> bool:
    """Whether a derivative may be taken by this tensor, so that a short cut around it would lose the derivative."""
    return tensor.requires_grad or bool(transform_of(tensor))


def under_functorch() -> bool:
    """Whether a transform of `torch.func` is at work, under which numbers may be hidden (`vmap`)."""
    return torch._C._are_functorch_transforms_active()


def refuse_transform(place: str, tensor: Tensor, hint: str = HINT) -> None:
    """Refuse a computation that PyTorch's transforms do not go through.

    Raises:
        DerivativeError: it is under `torch.func` or forward-mode differentiation.
        ConfigError: the tensor is a DTensor.
    """
    if found := transform_of(tensor):
        error = ConfigError if found == "a DTensor" else DerivativeError
        raise error(place, found=found, expected="plain tensors and derivatives by backward()", hint=hint)


def refuse_second_derivatives(place: str, grad: Tensor, hint: str) -> None:
    """Refuse a backward pass that is differentiated or batched itself; its numbers would be wrong.

    PyTorch's own `once_differentiable` would let `autograd.grad` give wrong numbers instead.

    Raises:
        DerivativeError: it is.
    """
    if torch.is_grad_enabled():
        found = "a backward pass with create_graph=True"
        raise DerivativeError(place, found=found, expected="first derivatives alone", hint=hint)
    refuse_transform(place, grad, hint)
