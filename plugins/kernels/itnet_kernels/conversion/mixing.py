"""Which operations of a model mix points, and in which of its modules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

NAMES = re.compile(
    r"attention|attn|conv|pool|fft|stft|lstm|gru|rnn|interpolate|upsample|grid_sample|fold|cumsum|cumprod|roll"
)
"""Names of functions that mix the points of a tensor of floating numbers."""

PRODUCTS = {"matmul", "bmm", "baddbmm", "einsum", "__matmul__", "__rmatmul__"}
"""Names of functions that do if both factors are data: scores of attention and sums by them, say."""


def count_mixing(model: nn.Module, example: Any) -> dict[str, Counter[str]]:
    """Return how often a model calls functions that mix points, by the path of the module that calls them and by name.

    These are attention, convolution, pooling, Fourier transforms, resampling, recurrence, cumulative sums and products
    of two tensors none of which is a weight. Means and other reductions are not counted: norms over channels are some.

    Args:
        model: is run once in evaluation, without gradients.
        example: its inputs: a tuple of arguments, a mapping of keyword arguments, or the one argument.
    """
    census = _Census({_storage(each) for each in (*model.parameters(), *model.buffers())})
    with ExitStack() as stack:
        stack.enter_context(_in_evaluation(model))
        for path, module in model.named_modules():
            stack.callback(module.register_forward_pre_hook(census.enter(path), prepend=True).remove)
            stack.callback(module.register_forward_hook(census.leave, always_call=True).remove)
        stack.enter_context(torch.no_grad())
        stack.enter_context(census)
        if isinstance(example, Mapping):
            model(**example)
        else:
            model(*(example if isinstance(example, tuple) else (example,)))
    return census.found


class _Census(TorchFunctionMode):
    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.weights, self.paths = weights, [""]
        self.found: dict[str, Counter[str]] = {}

    def enter(self, path: str) -> Any:
        """Return a hook that notes that a module's `forward` begins."""
        return lambda module, inputs: self.paths.append(path)

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Note that a module's `forward` ends."""
        self.paths.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", str(func))
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        data = [each for each in tensors if each.is_floating_point() or each.is_complex()]
        if self._mixes(name, data):
            self.found.setdefault(self.paths[-1], Counter())[name.strip("_")] += 1
        return func(*args, **(kwargs or {}))

    def _mixes(self, name: str, data: list[Tensor]) -> bool:
        if name not in PRODUCTS:
            return bool(data) and NAMES.search(name) is not None
        # An outer product mixes nothing, nor does one with a vector.
        factors = [each for each in data if each.ndim > 2 and _storage(each) not in self.weights]
        return len(factors) > 1 and (name == "einsum" or factors[0].shape[-1] > 1)


def _storage(tensor: Tensor) -> int:
    """Return what views of one tensor have in common."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else id(tensor)


@contextmanager
def _in_evaluation(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation, so that a run changes nothing in it, and back."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
