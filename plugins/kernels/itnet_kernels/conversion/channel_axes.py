"""The axis of a tensor that has its channels, followed from the layers that made it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

LAST = {"linear", "layer_norm", "rms_norm", "embedding"}
"""Functions whose results have channels last."""
MOVES = {"transpose", "permute", "swapaxes", "swapdims", "movedim", "moveaxis", "get"}
"""Functions that may move axes; `get` returns attributes such as `mT`."""


class ChannelAxes:
    """Tell linear layers over points, as those of an MLP-Mixer, from linear layers over channels.

    Convolutions, linear layers, norms and embeddings say which axis of their results has channels. It is followed
    through functions that move it, or keep its place and size; of other tensors it is unknown.

    Example:
        >>> axes, x, weight = ChannelAxes(), torch.randn(2, 5, 8), torch.randn(5, 5)
        >>> normed = torch.layer_norm(x, [8])
        >>> axes.follow(torch.layer_norm, "layer_norm", (x, [8]), {}, normed)
        >>> axes.follow(torch.transpose, "transpose", (normed, 1, 2), {}, moved := normed.transpose(1, 2))
        >>> axes.mixes("linear", moved), axes.mixes("linear", normed)
        (True, False)
    """

    def __init__(self) -> None:
        self.axes: MutableMapping[Tensor, int] = WeakIdKeyDictionary()

    def mixes(self, name: str, data: Tensor) -> bool:
        """Whether a function is a linear layer over points."""
        return name == "linear" and self.axes.get(data, data.ndim - 1) != data.ndim - 1

    def follow(self, func: Any, name: str, args: Any, kwargs: Any, result: Any) -> None:
        """Record the axis of a function's result, if it is known."""
        if not isinstance(result, Tensor):
            return
        axis: int | None = None
        if name.startswith("conv") and len(args) > 1 and isinstance(args[1], Tensor):
            axis = result.ndim + 1 - args[1].ndim  # before as many axes as the kernel has
        elif name in LAST and not (args and isinstance(args[0], Tensor) and self.mixes(name, args[0])):
            axis = result.ndim - 1
        else:
            known = (item for item in args if isinstance(item, Tensor) and item in self.axes)
            if (source := next(known, None)) is not None:
                axis = self._followed(func, name, source, args, kwargs, result)
        if axis is not None:
            self.axes[result] = axis

    def _followed(self, func: Any, name: str, source: Tensor, args: Any, kwargs: Any, result: Tensor) -> int | None:
        axis = self.axes[source]
        if name in MOVES and args[0] is source and result.ndim == source.ndim:
            sizes = range(2, 2 + source.ndim)  # each axis has another
            moved = func(torch.empty(*sizes, device="meta"), *args[1:], **kwargs)
            return [*moved.shape].index(sizes[axis])
        kept = result.ndim == source.ndim and result.shape[axis] == source.shape[axis]
        return axis if kept or result.shape[: axis + 1] == source.shape[: axis + 1] else None
