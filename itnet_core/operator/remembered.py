"""Questions about a tensor that are asked once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

P = ParamSpec("P")
T = TypeVar("T")


def remembered(function: Callable[Concatenate[Tensor, P], T]) -> Callable[Concatenate[Tensor, P], T]:
    """Let a function of a tensor remember its results for as long as the tensor lives and is not written to.

    The points of a field go through a trunk as they are, from block to block: what is asked of them again would read
    their numbers again, which takes as long as a small kernel, and on a GPU waits for it. What is written past torch,
    to the memory of a NumPy array or to `tensor.data`, is not seen. While torch traces or transforms a function nothing
    is remembered: an answer would be a tensor of that trace, and of no use after it.

    Args:
        function: its result must not refer to the tensor; its other arguments are hashable.
    """
    answers: Any = WeakTensorKeyDictionary()

    def ask(tensor: Tensor, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if tracing() or torch.is_inference_mode_enabled() or tensor.is_inference():
            # A tensor of inference does not count what is written to it, and as an answer it could not be trained with.
            return function(tensor, *args, **kwargs)
        version, known = answers.get(tensor, (None, None))
        if version != tensor._version:
            known = {}
            answers[tensor] = tensor._version, known
        question = (args, *kwargs.items())
        if question not in known:
            known[question] = function(tensor, *args, **kwargs)
        return known[question]

    functools.update_wrapper(ask, function)
    return ask


def tracing() -> bool:
    """Whether tensors may be those of a trace or a transform: of `torch.compile`, `export`, `func`, `jit.trace`, …"""
    if torch.compiler.is_compiling():
        return True
    transforms, modes = torch._C._functorch.peek_interpreter_stack(), torch._C._len_torch_dispatch_stack()
    return transforms is not None or modes > 0 or torch.jit.is_tracing()
