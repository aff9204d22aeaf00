"""Counts of the operations of a model that mix points, and the attention among them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from itnet_core import IntegralOperator, evaluation_mode
from itnet_kernels.conversion.channel_axes import ChannelAxes
from itnet_kernels.conversion.following import Attention, Following, storage
from itnet_kernels.conversion.heads import HEADS, first_number
from itnet_kernels.conversion.products import PRODUCTS

NAMES = re.compile(
    r"attention|attn|conv|pool|fft|stft|lstm|gru|rnn|interpolate|upsample|grid_sample|fold|cumsum|cumprod"
)
"""Names of functions that mix the points of a tensor of floating numbers. Others order points, or copy them."""
MODES = {"linear", "bilinear", "bicubic", "trilinear", "area"}
"""Modes of interpolation that mix points: others copy the nearest one."""

Calls = dict[str, Counter[str]]
"""Numbers of calls of functions, by the path of the calling module and the function's name."""


@dataclass
class WrittenOut:
    """Attention that a module writes out.

    Attributes:
        sizes: (heads, d, key heads, channels, whether it is linear) of each attention.
        calls: the calls that compute it.
        others: other products of the module, by their names.
    """

    sizes: set[tuple[int, ...]] = field(default_factory=set)
    calls: Calls = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)


@dataclass
class Mixing:
    """What mixes points in a model's run.

    Attributes:
        calls: all calls of functions that mix points.
        attention: attention that is written out, by the path of the innermost module whose `forward` contains it.
    """

    calls: Calls = field(default_factory=dict)
    attention: dict[str, WrittenOut] = field(default_factory=dict)


def count_mixing(model: nn.Module, example: Any) -> Mixing:
    """Count a model's calls of functions that mix points, and find the attention that it writes out.

    These are attention, convolution, pooling, Fourier transforms, resampling, recurrence, cumulative sums, products
    of two tensors of which neither is a weight, and linear layers over points, as an MLP-Mixer's. What is computed
    from weights and constants alone counts as a weight, such as resampled position embeddings. Functions that order
    points or copy them mix none: `roll`, `flip`, interpolation by the nearest point. Reductions are not counted,
    since norms over channels are reductions.

    Example:
        >>> count_mixing(nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU()), torch.randn(1, 3, 8)).calls
        {'0': Counter({'conv1d': 1})}

    Args:
        model: it runs once in evaluation mode, without gradients.
        example: inputs: a tuple of arguments, a mapping of keyword arguments, or the one argument.
    """
    census = _Census(model)
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
    return census.mixing()


@dataclass(frozen=True, eq=False)
class _Frame:
    """A running `forward`."""

    path: str


@dataclass(frozen=True, eq=False)
class _Call:
    """A call of a function, and the running `forward`s around it."""

    name: str
    frames: tuple[_Frame, ...]


class _Census(Following):
    def __init__(self, model: nn.Module) -> None:
        super().__init__((*model.parameters(), *model.buffers()))
        self.model, self.frames, self.channels = model, [_Frame("")], ChannelAxes()
        self.calls: list[_Call] = []
        self.constants: MutableMapping[Tensor, bool] = WeakIdKeyDictionary()
        self.attention: dict[str, tuple[set[tuple[int, ...]], set[_Call]]] = {}

    def enter(self, path: str) -> Any:
        """Return a hook that records the start of a module's `forward`."""
        return lambda module, inputs: self.frames.append(_Frame(path))

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Record the end of a module's `forward`."""
        self.frames.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_function__(func, types, args, kwargs)
        self.channels.follow(func, getattr(func, "__name__", "").strip("_"), args, kwargs or {}, result)
        return result

    def call(self, name: str) -> _Call:
        return _Call(name, tuple(self.frames))

    def observe(self, call: _Call, arguments: Any, result: Any) -> None:
        if all(map(self.is_weight, _tensors(arguments))):
            self.constants.update(dict.fromkeys(_tensors(result), True))
        elif self._mixes(call.name, arguments) and _numbers(result):
            self.calls.append(call)
        elif arguments and isinstance(arguments[0], Tensor) and self.channels.mixes(call.name, arguments[0]):
            self.calls.append(replace(call, name="linear over points"))

    def is_weight(self, tensor: Tensor) -> bool:
        return tensor in self.constants or super().is_weight(tensor)

    def _forget(self, changed: int) -> None:
        super()._forget(changed)
        for tensor in [tensor for tensor in self.constants if storage(tensor) == changed]:
            del self.constants[tensor]

    def integrate(self, attention: Attention, calls: tuple[_Call, ...]) -> None:
        """Record attention in the innermost module that makes all its calls, unless an operator computes it."""
        modules = (self.model.get_submodule(frame.path) for frame in calls[-1].frames)
        if any(isinstance(module, IntegralOperator) for module in modules):
            return
        around = zip(*(call.frames for call in calls), strict=False)
        [*_, owner] = (frames[0] for frames in takewhile(lambda frames: len({*frames}) == 1, around))
        sizes, made = self.attention.setdefault(owner.path, (set(), set()))
        parts = attention.split(first_number(self.model.get_submodule(owner.path), HEADS) or 1)
        sizes.add(
            (parts.query.shape[1], parts.query.shape[-1], parts.key.shape[1], parts.value.shape[-1], attention.linear)
        )
        made.update(calls)

    def mixing(self) -> Mixing:
        """Return the counts."""
        mixing = Mixing(_counted(self.calls))
        for path, (sizes, made) in self.attention.items():
            inside = (call for call in self.calls if any(frame.path == path for frame in call.frames))
            others = Counter(call.name for call in inside if call.name in PRODUCTS and call not in made)
            mixing.attention[path] = WrittenOut(sizes, _counted(call for call in self.calls if call in made), others)
        return mixing

    def _mixes(self, name: str, arguments: Any) -> bool:
        data = _numbers(arguments)
        if name in ("interpolate", "upsample"):
            return bool(data) and any(item in MODES for item in arguments if isinstance(item, str))
        if name not in PRODUCTS:
            return bool(data) and NAMES.search(name) is not None
        # Outer products and products with a vector mix no points.
        factors = [tensor for tensor in data if tensor.ndim > 2 and not self.is_weight(tensor)]
        return len(factors) > 1 and (name == "einsum" or factors[0].shape[-1] > 1)


def _counted(calls: Iterable[_Call]) -> Calls:
    counted: Calls = {}
    for call in calls:
        counted.setdefault(call.frames[-1].path, Counter())[call.name] += 1
    return counted


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _numbers(tree: Any) -> list[Tensor]:
    """Return the tensors of floating or complex numbers: others count or index points, as experts' routing does."""
    return [tensor for tensor in _tensors(tree) if tensor.is_floating_point() or tensor.is_complex()]
