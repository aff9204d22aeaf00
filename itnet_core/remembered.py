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
    their numbers again, which takes as long as a small kernel, and on a GPU waits for it.

    Args:
        function: its result must not refer to the tensor; its other arguments are hashable.
    """
    answers: Any = WeakTensorKeyDictionary()

    def ask(tensor: Tensor, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if torch.compiler.is_compiling() or tensor.is_inference():  # which does not count what is written to it
            return function(tensor, *args, **kwargs)
        question = (tensor._version, args, *kwargs.items())
        known = answers.setdefault(tensor, {})
        if question not in known:
            known[question] = function(tensor, *args, **kwargs)
        return known[question]

    functools.update_wrapper(ask, function)
    return ask
