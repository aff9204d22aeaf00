"""Counts of the operations of a model that mix points."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from itnet_core import evaluation_mode

NAMES = re.compile(
    r"attention|attn|conv|pool|fft|stft|lstm|gru|rnn|interpolate|upsample|grid_sample|fold|cumsum|cumprod|roll"
)
"""Names of functions that mix the points of a tensor of floating numbers."""

PRODUCTS = {"matmul", "bmm", "baddbmm", "einsum", "__matmul__", "__rmatmul__"}
"""Names of products that mix points if neither factor is a weight, such as the scores of attention."""


def count_mixing(model: nn.Module, example: Any) -> dict[str, Counter[str]]:
    """Count a model's calls of functions that mix points, by the path of the calling module and the function's name.

    These are attention, convolution, pooling, Fourier transforms, resampling, recurrence, cumulative sums, and products
    of two tensors of which neither is a weight. Reductions are not counted, since norms over channels are reductions.

    Example:
        >>> count_mixing(nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU()), torch.randn(1, 3, 8))
        {'0': Counter({'conv1d': 1})}

    Args:
        model: it runs once in evaluation mode, without gradients.
        example: inputs: a tuple of arguments, a mapping of keyword arguments, or the one argument.
    """
    census = _Census({_storage(weight) for weight in (*model.parameters(), *model.buffers())})
    with ExitStack() as stack:
        stack.enter_context(evaluation_mode(model))
        for path, module in model.named_modules():
            stack.callback(module.register_forward_pre_hook(census.enter(path), prepend=True).remove)
            stack.callback(module.register_forward_hook(census.leave, always_call=True).remove)
        stack.enter_context(torch.no_grad())
        stack.enter_context(census)
        if isinstance(example, Mapping):
            model(**example)
        else:
            model(*(example if isinstance(example, tuple) else (example,)))
    return census.calls


class _Census(TorchFunctionMode):
    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.weights, self.paths = weights, [""]
        self.calls: dict[str, Counter[str]] = {}

    def enter(self, path: str) -> Any:
        """Return a hook that records the start of a module's `forward`."""
        return lambda module, inputs: self.paths.append(path)

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Record the end of a module's `forward`."""
        self.paths.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", str(func))
        result = func(*args, **(kwargs or {}))
        if self._mixes(name, _numbers((args, kwargs))) and _numbers(result):
            self.calls.setdefault(self.paths[-1], Counter())[name.strip("_")] += 1
        return result

    def _mixes(self, name: str, data: list[Tensor]) -> bool:
        if name not in PRODUCTS:
            return bool(data) and NAMES.search(name) is not None
        # Outer products and products with a vector mix no points.
        factors = [tensor for tensor in data if tensor.ndim > 2 and _storage(tensor) not in self.weights]
        return len(factors) > 1 and (name == "einsum" or factors[0].shape[-1] > 1)


def _numbers(tree: Any) -> list[Tensor]:
    """Return the tensors of floating or complex numbers: others count or index points, as experts' routing does."""
    tensors = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
    return [tensor for tensor in tensors if tensor.is_floating_point() or tensor.is_complex()]


def _storage(tensor: Tensor) -> int:
    """Identify the storage that views of a tensor share."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else id(tensor)
